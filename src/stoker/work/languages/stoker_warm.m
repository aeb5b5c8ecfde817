function stoker_warm(mode)
% Serve the tasks of a Stoker worker: the child side of `octave` and `matlab` steps.
%
% Tasks come as lines of JSON through the FIFO `tasks` in the folder STOKER_WARM; a line goes back
% through the FIFO `answers` as soon as a task has ended. Standard output and standard error are
% files, and the user's. Both FIFOs are opened for each line, since a task may `fclose all`.
% With `stoker_warm('once')` the task in STOKER_TASK is done, and its values are shown.
%
% This file is run by Octave from 7 and by MATLAB from R2019a: it uses what both have.
  stoker_set_up();
  if nargin > 0 && strcmp(mode, 'once')
    stoker_once(getenv('STOKER_TASK'));
    return;
  end
  folder = getenv('STOKER_WARM');
  state = stoker_state();
  stoker_tell(folder, '{"stoker":"ready"}');
  known = struct();  % what the environment had under names that tasks have set
  while true
    line = stoker_next(folder);
    if ~ischar(line)
      break;
    end
    task = jsondecode(line);
    if isfield(task, 'stoker')
      cd(folder);
      break;
    end
    known = stoker_enter(task, known);
    answer = stoker_call(task);
    stoker_restore(state);
    stoker_tell(folder, answer);
  end
end

function stoker_set_up()
  addpath(getenv('STOKER_WARM_FOLDER'));
  if exist('OCTAVE_VERSION', 'builtin') ~= 0
    if exist('jsondecode') == 0
      error('Octave 7 or newer is needed; this is %s', version());
    end
    page_screen_output(false);
    crash_dumps_octave_core(false);
    sigterm_dumps_octave_core(false);
    sighup_dumps_octave_core(false);
  end
end

function line = stoker_next(folder)
  % Return the next line that is not empty; a number when the worker has gone.
  line = '';
  file = fopen(fullfile(folder, 'tasks'), 'r', 'n', 'UTF-8');
  while ischar(line) && isempty(line)
    line = fgetl(file);
  end
  fclose(file);
end

function stoker_tell(folder, text)
  file = fopen(fullfile(folder, 'answers'), 'w', 'n', 'UTF-8');
  fprintf(file, '%s\n', text);
  fclose(file);
end

function known = stoker_enter(task, known)
  % Environment and working directory are those of the task, and of no task before it.
  stoker_cd(task.scratch);  % first: the folder of the task before it may be gone by now
  names = fieldnames(known);
  for at = 1:numel(names)
    stoker_setenv(known.(names{at}){1}, known.(names{at}){2});
  end
  known = struct();
  for at = 1:numel(task.env)
    pair = task.env{at};
    known.(sprintf('v%d', at)) = {pair{1}, getenv(pair{1})};
    setenv(pair{1}, pair{2});
  end
end

function stoker_cd(folder)
  % Octave looks through all of its search path at each change of folder; often it is there already.
  if exist('OCTAVE_VERSION', 'builtin') ~= 0
    here = stat('.');
    there = stat(folder);
    if isstruct(here) && isstruct(there) && here.ino == there.ino && here.dev == there.dev
      return;
    end
  end
  cd(folder);
end

function stoker_setenv(name, value)
  if isempty(value) && exist('unsetenv') ~= 0  %#ok<EXIST> in MATLAB from R2022b on
    unsetenv(name);
  else
    setenv(name, value);
  end
end

function answer = stoker_call(task)
  % Return the answer, as JSON, to one task.
  try
    values = stoker_values(task);
    answer = sprintf('{"stoker":"done","id":%d,"values":%s}', task.id, values);
  catch problem
    stoker_show(problem);
    answer = sprintf('{"stoker":"failed","id":%d,"reason":%s}', task.id, ...
                     jsonencode(stoker_words(problem)));
  end
end

function text = stoker_values(task)
  % Call the function; return the JSON of what it returned.
  name = task.call;
  if exist(name) == 0
    error('there is no function `%s`: `%s.m` was looked for in `%s`', name, name, ...
          getenv('STOKER_WARM_FOLDER'));
  end
  given = struct('item', '', 'key', task.key, 'params', task.params, 'meta', task.meta, ...
                 'inputs', task.inputs, 'values', task.values, 'outputs', task.outputs, ...
                 'scratch', task.scratch);
  if ischar(task.item)
    given.item = task.item;
  end
  values = [];
  if nargout(name) == 0
    feval(name, given);
  else
    values = feval(name, given);
  end
  if isnumeric(values) && isempty(values)
    text = '{}';
  elseif (isstruct(values) && isscalar(values)) || isa(values, 'containers.Map')
    text = jsonencode(values);
  else
    error('it returned `%s`; a struct of values, or nothing, is wanted', class(values));
  end
  text = strrep(text, sprintf('\n'), ' ');
end

function words = stoker_words(problem)
  words = problem.message;
  if ~isempty(problem.identifier)
    words = [problem.identifier ': ' words];
  end
  words = words(1:min(end, 4000));
end

function stoker_show(problem)
  % The error is on standard error, with where it came from.
  fprintf(2, 'error: %s\n', stoker_words(problem));
  for at = 1:numel(problem.stack)
    place = problem.stack(at);
    if strncmp(place.name, 'stoker_', 7)
      break;
    end
    fprintf(2, 'error:     at %s, line %d\n', place.name, place.line);
  end
end

function state = stoker_state()
  state = struct('path', path(), 'warnings', warning(), 'umask', 0);
  state.environment = stoker_environment();
  if exist('OCTAVE_VERSION', 'builtin') ~= 0
    state.umask = umask(0);
    umask(state.umask);
  end
end

function pairs = stoker_environment()
  % Return the names that the process began with, and their values; there is no list of all.
  file = fopen('/proc/self/environ', 'r');
  text = fread(file, Inf, 'uint8=>char')';
  fclose(file);
  names = regexp(text, '(?<=^|\x00)[^=\x00]+(?==)', 'match');
  pairs = cell(numel(names), 2);
  for at = 1:numel(names)
    pairs(at, :) = {names{at}, getenv(names{at})};
  end
end

function stoker_restore(state)
  % What a task may have changed in the process is as it was.
  if ~strcmp(path(), state.path)
    path(state.path);
  end
  diary('off');
  warning(state.warnings);
  for at = 1:size(state.environment, 1)
    if ~strcmp(getenv(state.environment{at, 1}), state.environment{at, 2})
      stoker_setenv(state.environment{at, 1}, state.environment{at, 2});
    end
  end
  if ~isempty(allchild(0))
    close('all', 'force');
  end
  if exist('OCTAVE_VERSION', 'builtin') ~= 0
    umask(state.umask);
    page_screen_output(false);
    fflush(stdout);
    fflush(stderr);
  end
end

function stoker_once(text)
  file = fopen(text, 'r', 'n', 'UTF-8');
  task = jsondecode(fgetl(file));
  fclose(file);
  fprintf('%s\n', stoker_values(task));
end
