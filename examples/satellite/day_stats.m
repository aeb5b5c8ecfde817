function day_stats(task)
% Write a line for each flagged granule of one day, for people and for the summary of the year.
  flags = load(task.inputs.flag.flags);
  file = fopen(task.outputs.table, 'w');
  fprintf(file, 'granule,scanner,spectrometer,noise,moon\n');
  for at = find(flags.any)'
    fprintf(file, '%s,%d,%d,%d,%d\n', flags.names{at}, flags.scanner(at), flags.spectrometer(at), ...
            nnz(flags.noise(at, :)), nnz(flags.moon(at, :)));
  end
  fclose(file);
end
