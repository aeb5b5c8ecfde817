function values = flag_day(task)
% Flag the granules of one day whose calibration is out of its limits, and save the flags.
%
% Called by Stoker in a process that stays for the next day, so that the limits are read once.
  day = read_granules(task.item);
  if numel(day.names) < 240
    error('airs:incomplete', 'the list has %d of 240 granules', numel(day.names));
  end
  limits = limits_on(task.meta.date);

  flags.scanner = day.scanner < limits(1) | day.scanner > limits(2);
  flags.spectrometer = day.spectrometer < limits(3) | day.spectrometer > limits(4);
  flags.noise = day.scatter > limits(5);                       % a column for each module
  typical = median(day.counts);
  flags.moon = abs(day.counts - typical) > task.params.threshold * typical / 100;
  flags.any = flags.scanner | flags.spectrometer | any(flags.noise, 2) | any(flags.moon, 2);
  flags.names = day.names;
  pause(task.params.seconds);                                  % as long as a day of real data takes

  save('-v7', task.outputs.flags, '-struct', 'flags');
  values = struct('granules', numel(day.names), 'flagged', nnz(flags.any), ...
                  'moon', nnz(any(flags.moon, 2)), 'spectrometer', mean(day.spectrometer));
end

function limits = limits_on(when)
  % Return the limits that hold on a date. The file is read again only when it has changed.
  persistent known stamp
  file = fullfile(fileparts(mfilename('fullpath')), 'limits.csv');
  found = dir(file);
  if isempty(found)
    error('airs:limits', 'there is no file of limits: %s', file);
  end
  if isempty(stamp) || stamp ~= found.datenum
    opened = fopen(file, 'r');
    known = textscan(opened, '%s %s %f %f %f %f %f', 'Delimiter', ',', 'HeaderLines', 1);
    fclose(opened);
    stamp = found.datenum;
  end
  day = datenum(when, 'yyyy-mm-dd');
  holds = datenum(known{1}, 'yyyy-mm-dd') <= day & day <= datenum(known{2}, 'yyyy-mm-dd');
  if ~any(holds)
    error('airs:limits', 'no calibration limits are known for %s', when);
  end
  limits = cellfun(@(column) column(holds), known(3:end));
end

function day = read_granules(file)
  opened = fopen(file, 'r');
  columns = textscan(opened, ['%s %s' repmat(' %f', 1, 14)], 'CommentStyle', '#');
  fclose(opened);
  whole = min(cellfun(@numel, columns));
  day.names = columns{1}(1:whole);
  numbers = cellfun(@(column) column(1:whole), columns(3:end), 'UniformOutput', false);
  day.scanner = numbers{1};
  day.spectrometer = numbers{2};
  day.counts = [numbers{3:2:end}];
  day.scatter = [numbers{4:2:end}];
end
