"""The same function in Octave, in MATLAB (which Octave plays), in R, and as a persistent program."""

import os
import shutil
import stat
import sys
from pathlib import Path

import servers

OCTAVE = """
function values = count_up(task)
  persistent n
  if isempty(n), n = 0; end
  n = n + 1;
  seen = look();
  printf('said %s\\n', task.key);
  switch task.key
    case 'fails', fprintf(stderr, 'words before\\n'); error('lab:dark', 'no light in granule %d', 17);
    case 'exits', exit(3);
    case 'slow', pause(60);
    case 'big', x = ones(8000, 8000); pause(60);
    case 'dies', kill(getpid(), 9);
    case 'reason', f = fopen(getenv('STOKER_REASON'), 'w'); fprintf(f, 'too dark\\n'); fclose(f); error('x');
    case 'marked', disp('ERROR: bad granule');
    case 'file', f = fopen(getenv('STOKER_VALUES'), 'w'); fprintf(f, '{"said": 5}'); fclose(f); values = []; return
    case 'wrong', values = 7; return
    case 'folder', cd('/');
    case 'environment', setenv('STOKER_KEY', 'x'); setenv('PREPARED', 'x');
    case 'path', addpath('/tmp'); warning('off', 'all'); umask(0);
    case 'files', fclose('all'); x = fopen('x', 'w');
    case 'figures', try, figure('visible', 'off'); end, diary('left');
    case 'child', system('sleep 1000 &');
    case 'own child', popen('sleep 1000', 'r');
    case 'late', system('(sleep 0.3; echo ERROR: late) &');
  end
  f = fopen(task.outputs.o, 'w'); fprintf(f, '%s %g', task.key, task.params.gain); fclose(f);
  values = struct('n', n, 'pid', getpid(), 'key', task.key, 'seen', seen, 'list', {task.params.tags}, ...
                  'nan', NaN, 'text', sprintf('a"\\\\b\\n\\xc3\\xa9'));
end
function seen = look()
  seen = struct('here', pwd(), 'key', getenv('STOKER_KEY'), 'prepared', getenv('PREPARED'), ...
                'path', numel(path()), 'warnings', numel(warning()), 'umask', umask(0), 'figures', numel(allchild(0)));
  umask(seen.umask);
end
"""
R = """
n <- 0
look <- function() list(
  here = getwd(), key = Sys.getenv("STOKER_KEY"), prepared = Sys.getenv("PREPARED"),
  digits = getOption("digits"), umask = format(Sys.umask(NA)), sinks = sink.number(),
  figures = length(dev.list()), left = Sys.getenv("LEFT"), locale = Sys.getlocale()
)
count_up <- function(task) {
  n <<- n + 1
  seen <- look()
  cat("said ", task$key, "\\n", sep = "")
  switch(task$key,
    fails = { message("words before"); stop(structure(class = c("lab_dark", "error", "condition"),
      list(message = "no light in granule 17", call = NULL))) },
    exits = quit(status = 3),
    slow = Sys.sleep(60),
    big = { x <- rep(1, 64e6); Sys.sleep(60) },
    dies = tools::pskill(Sys.getpid(), 9),
    reason = { writeLines("too dark", Sys.getenv("STOKER_REASON")); stop("x") },
    marked = cat("ERROR: bad granule\\n"),
    file = { cat('{"said": 5}', file = Sys.getenv("STOKER_VALUES")); return(invisible()) },
    wrong = return(list(7)),
    folder = setwd("/"),
    environment = { Sys.setenv(STOKER_KEY = "x", PREPARED = "x", LEFT = "x") },
    path = { options(digits = 3, left = 1); Sys.umask("0"); Sys.setlocale("LC_ALL", "C") },
    files = closeAllConnections(),
    figures = { pdf("x.pdf"); sink("left") },
    child = system("sleep 1000 &"),
    "own child" = { x <<- pipe("sleep 1000"); open(x) },
    late = system("(sleep 0.3; echo ERROR: late) &")
  )
  cat(task$key, " ", task$params$gain, sep = "", file = task$outputs$o)
  list(n = n, pid = Sys.getpid(), key = task$key, seen = seen, list = task$params$tags, nan = NaN,
       text = 'a"\\\\b\\n\\u00e9')
}
"""
PROGRAM = """
import json, os, signal, subprocess, sys, time
n = 0
for line in sys.stdin:
    task = json.loads(line)
    n += 1
    key, answer = task["key"], {"stoker": "done"}
    print("said", key, flush=True)
    if key == "fails":
        print("words before", file=sys.stderr, flush=True)
        answer = {"stoker": "failed", "reason": "lab:dark: no light in granule 17"}
    elif key == "exits": sys.exit(3)
    elif key == "slow": time.sleep(60)
    elif key == "big": x = b"x" * 600_000_000; time.sleep(60)
    elif key == "dies": os.kill(os.getpid(), 9)
    elif key == "reason":
        open(task["env"]["STOKER_REASON"], "w").write("too dark\\n"); answer = {"stoker": "failed"}
    elif key == "marked": print("ERROR: bad granule")
    elif key == "file": open(task["env"]["STOKER_VALUES"], "w").write('{"said": 5}')
    elif key == "wrong": answer = {"stoker": "done", "values": 7}
    elif key == "child": subprocess.Popen("sleep 1000 &", shell=True).wait()
    elif key == "own child": subprocess.Popen(["sleep", "1000"])
    elif key == "late": subprocess.Popen("(sleep 0.3; echo ERROR: late) &", shell=True).wait()
    if key not in ("fails", "reason", "file", "wrong"):
        open(task["outputs"]["o"], "w").write(f"{key} {task['params']['gain']:g}")
        answer["values"] = {
            "n": n, "pid": os.getpid(), "key": key, "list": task["params"]["tags"], "nan": float("nan"),
            "text": 'a"\\\\b\\n\\xe9', "seen": {"here": task["scratch"], "prepared": os.environ["PREPARED"]},
        }
    print(json.dumps(answer), flush=True)
"""
ACTIONS = {
    "octave": 'octave = "count_up"',
    "matlab": 'matlab = "count_up"',
    "r": 'r = "lib/count.R:count_up"',
    "persistent": f'argv = ["{sys.executable}", "program.py"]\npersistent = true',
}
PROGRAMS = {"octave": "octave", "matlab": "octave", "r": "Rscript"}
FAKE_MATLAB = """#!/bin/sh
# Octave in the part of MATLAB: takes its options, and has a helper process beside it as MATLAB has.
[ "$1 $2" = "-nodisplay -batch" ] || exit 64
sleep 1000 &
exec octave --no-gui --quiet --no-history --eval "$3"
"""
PARAMS = {"gain": 2.5, "tags": ["a", "b c"]}
STEP = """
[pipelines.p.params]
gain = { type = "number" }
tags = { type = "list", items = "string" }
[pipelines.p.steps.s]
prepare = "export PREPARED=yes"
error_markers = ["ERROR"]
outputs.o = { to = "out/{key}", optional = true }
"""


def write(folder: Path, language: str, monkeypatch) -> str:
    """Write the function, put a `matlab` on PATH where it is wanted; return the step's table."""
    if language in PROGRAMS and shutil.which(PROGRAMS[language]) is None:
        servers.unavailable(f"no {language} is installed: nothing was tested with it")
    (folder / "count_up.m").write_text(OCTAVE)
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "count.R").write_text(R)
    (folder / "program.py").write_text(PROGRAM)
    if language == "matlab":
        matlab = folder / "bin" / "matlab"
        matlab.parent.mkdir()
        matlab.write_text(FAKE_MATLAB)
        matlab.chmod(matlab.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{matlab.parent}:{os.environ['PATH']}")
    return STEP + ACTIONS[language] + "\n"
