# Serves the tasks of a Stoker worker: the child side of `r` steps.
#
# Tasks come as lines of JSON through the FIFO `tasks` in the folder STOKER_WARM; a line goes back
# through the FIFO `answers` as soon as a task has ended. Standard output and standard error are
# files, and the user's. Both FIFOs are opened for each line, since a task may close all connections.
# Run with the word `once`, the task in the file STOKER_TASK is done, and its values are printed.
#
# Nothing but R itself is needed, from version 3.5 on. Everything is in a function's own environment:
# the global one is the user's.

(function() {
  # ------------------------------------------------------------------------------------------ JSON
  token <- paste0(
    "\"(?:[^\"\\\\]|\\\\.)*\"|[{}\\[\\],:]|",
    "-?[0-9]+(?:\\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null"
  )

  # Bytes that are no UTF-8, as a path may have, stay the bytes that they are.
  bytes_of <- function(word) {
    bytes <- charToRaw(word)
    gsub("\\\\([\"\\\\/])", "\\1", rawToChar(bytes[seq(2, length(bytes) - 1)]), perl = TRUE, useBytes = TRUE)
  }

  text_of <- function(word) {
    if (!validUTF8(word)) return(bytes_of(word))
    inner <- substr(word, 2, nchar(word) - 1)
    if (!grepl("\\", inner, fixed = TRUE)) return(inner)
    parts <- regmatches(inner, gregexpr("\\\\u[0-9a-fA-F]{4}|\\\\.|[^\\\\]+", inner, perl = TRUE))[[1]]
    units <- function(part) strtoi(substr(part, 3, 6), 16L)
    made <- character()
    at <- 1
    while (at <= length(parts)) {
      part <- parts[[at]]
      if (startsWith(part, "\\u")) {
        code <- units(part)
        if (code >= 0xD800 && code < 0xDC00 && at < length(parts) && startsWith(parts[[at + 1]], "\\u")) {
          at <- at + 1
          code <- 0x10000 + (code - 0xD800) * 0x400 + (units(parts[[at]]) - 0xDC00)
        }
        part <- intToUtf8(code)
      } else if (startsWith(part, "\\")) {
        second <- substr(part, 2, 2)
        known <- c(n = "\n", t = "\t", r = "\r", b = "\b", f = "\f")
        part <- if (second %in% names(known)) known[[second]] else second
      }
      made <- c(made, part)
      at <- at + 1
    }
    paste0(made, collapse = "")
  }

  parse_json <- function(line) {
    Encoding(line) <- "bytes"
    words <- regmatches(line, gregexpr(token, line, perl = TRUE))[[1]]
    Encoding(words) <- "UTF-8"
    invalid <- !validUTF8(words)
    Encoding(words[invalid]) <- "unknown"
    at <- 0
    value <- function() {
      at <<- at + 1
      word <- words[[at]]
      first <- if (validUTF8(word)) substr(word, 1, 1) else "\""
      if (word == "{") return(object())
      if (word == "[") return(array_of())
      if (first == "\"") return(text_of(word))
      switch(word, true = TRUE, false = FALSE, null = NULL, as.numeric(word))
    }
    object <- function() {
      found <- list()
      while (words[[at + 1]] != "}") {
        if (words[[at + 1]] == ",") at <<- at + 1
        at <<- at + 1
        name <- text_of(words[[at]])
        at <<- at + 1 # the colon
        found[name] <- list(value())
      }
      at <<- at + 1
      found
    }
    array_of <- function() {
      found <- list()
      while (words[[at + 1]] != "]") {
        if (words[[at + 1]] == ",") at <<- at + 1
        found[length(found) + 1] <- list(value())
      }
      at <<- at + 1
      simple <- function(kind) all(vapply(found, function(one) kind(one) && length(one) == 1, TRUE))
      if (length(found) && (simple(is.character) || simple(is.numeric) || simple(is.logical))) {
        found <- unlist(found)
      }
      found
    }
    value()
  }

  # Text as UTF-8, other bytes as `<ff>`.
  clean <- function(text) iconv(enc2utf8(as.character(text)), "UTF-8", "UTF-8", sub = "byte")

  quote_json <- function(text) {
    text <- clean(text)
    text <- gsub("\\", "\\\\", text, fixed = TRUE)
    text <- gsub("\"", "\\\"", text, fixed = TRUE)
    for (code in 1:31) {
      letter <- intToUtf8(code)
      if (any(grepl(letter, text, fixed = TRUE))) {
        text <- gsub(letter, sprintf("\\u%04x", code), text, fixed = TRUE)
      }
    }
    paste0("\"", text, "\"")
  }

  scalars <- function(found) {
    made <- if (is.factor(found)) {
      quote_json(as.character(found))
    } else if (inherits(found, "POSIXt")) {
      quote_json(format(found, "%Y-%m-%dT%H:%M:%OSZ", tz = "UTC"))
    } else if (inherits(found, "Date")) {
      quote_json(format(found))
    } else if (is.logical(found)) {
      ifelse(found, "true", "false")
    } else if (is.numeric(found)) {
      ifelse(is.finite(found), formatC(unclass(found), digits = 15, format = "g", width = 1), NA)
    } else if (is.character(found)) {
      quote_json(found)
    } else {
      stop("a value of class `", class(found)[[1]], "` cannot be written as JSON", call. = FALSE)
    }
    made[is.na(found) | is.na(made)] <- "null"
    made
  }

  to_json <- function(found) {
    if (is.null(found)) return("null")
    if (is.list(found)) {
      inner <- vapply(found, to_json, "")
      if (is.null(names(found)) && length(found)) {
        return(paste0("[", paste0(inner, collapse = ","), "]"))
      }
      pairs <- paste0(if (length(found)) quote_json(names(found)), if (length(found)) ":", inner)
      return(paste0("{", paste0(pairs, collapse = ","), "}"))
    }
    made <- scalars(found)
    if (length(found) == 1) made else paste0("[", paste0(made, collapse = ","), "]")
  }

  # In the locale C, which batch jobs often have, R opens no file whose name is not ASCII.
  if (!isTRUE(l10n_info()[["UTF-8"]])) {
    for (one in c("C.UTF-8", "en_US.UTF-8")) {
      if (nzchar(suppressWarnings(Sys.setlocale("LC_CTYPE", one)))) break
    }
  }

  # ------------------------------------------------------------------------------------- functions
  folder <- Sys.getenv("STOKER_WARM_FOLDER")
  loaded <- new.env()

  place_of <- function(file, name) {
    if (!startsWith(file, "/")) file <- file.path(folder, file)
    if (is.null(loaded[[file]])) {
      if (!file.exists(file)) stop("there is no file `", file, "`", call. = FALSE)
      own <- new.env(parent = globalenv())
      source(file, local = own, chdir = TRUE)
      loaded[[file]] <- own
    }
    if (!exists(name, envir = loaded[[file]], mode = "function")) {
      stop("`", file, "` has no function `", name, "`", call. = FALSE)
    }
    loaded[[file]]
  }

  values_of <- function(task) {
    fields <- c("item", "key", "params", "meta", "inputs", "values", "outputs", "scratch")
    file <- sub(":[^:]*$", "", task$call)
    name <- sub("^.*:", "", task$call)
    call <- as.call(list(as.name(name), quote(task))) # as errors and warnings show it
    found <- eval(call, list(task = task[fields]), place_of(file, name))
    # The last thing in a function is what it returns, meant or not: only a plain list is values.
    if (!is.list(found) || is.object(found) || !length(found)) return("{}")
    if (is.null(names(found)) || any(!nzchar(names(found)))) {
      stop("it returned a list without names; name every value", call. = FALSE)
    }
    to_json(found)
  }

  words_of <- function(problem) {
    kind <- class(problem)[[1]]
    words <- clean(conditionMessage(problem))
    if (!(kind %in% c("simpleError", "stoker_exit"))) words <- paste0(kind, ": ", words)
    substr(words, 1, 4000)
  }

  show <- function(problem) {
    call <- conditionCall(problem)
    where <- if (is.null(call)) "" else paste0(" in ", deparse(call, nlines = 1L)[[1]])
    cat("Error", where, ": ", words_of(problem), "\n", sep = "", file = stderr())
  }

  if ("once" %in% commandArgs(trailingOnly = TRUE)) {
    cat(values_of(parse_json(readLines(Sys.getenv("STOKER_TASK"), 1))), "\n", sep = "")
    return(invisible())
  }

  # ----------------------------------------------------------------------------------------- tasks
  warm <- Sys.getenv("STOKER_WARM")

  next_line <- function() {
    way <- fifo(file.path(warm, "tasks"), "r", blocking = TRUE)
    on.exit(close(way))
    line <- ""
    while (length(line) && !nzchar(line, keepNA = FALSE)) line <- readLines(way, 1, warn = FALSE)
    line
  }

  tell <- function(text) {
    way <- fifo(file.path(warm, "answers"), "w", blocking = TRUE)
    on.exit(close(way))
    writeLines(text, way, useBytes = TRUE)
  }

  if (getOption("warn") == 0) options(warn = 1) # at once: there is no end at which they would be shown
  categories <- c("LC_COLLATE", "LC_CTYPE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "LC_MESSAGES")
  locales <- function() vapply(categories, Sys.getlocale, "")
  own <- character() # the variables of the latest task
  state <- list()
  remember <- function() {
    state <<- list(
      options = options(), env = Sys.getenv(), umask = Sys.umask(NA), locale = locales()
    )
  }

  restore <- function() {
    setwd(warm)
    while (sink.number() > 0) sink()
    if (sink.number(type = "message") != 2) sink(type = "message")
    grDevices::graphics.off()
    Sys.unsetenv(setdiff(own, names(state$env))) # first: a list of all fails on a path of odd bytes
    now <- tryCatch(Sys.getenv(), error = function(problem) Sys.getenv(names(state$env), NA, TRUE))
    gone <- setdiff(names(now), names(state$env))
    if (length(gone)) Sys.unsetenv(gone)
    changed <- names(state$env)[state$env != now[names(state$env)] | is.na(now[names(state$env)])]
    if (length(changed)) do.call(Sys.setenv, as.list(state$env[changed]))
    added <- setdiff(names(options()), names(state$options))
    if (length(added)) options(stats::setNames(vector("list", length(added)), added))
    options(state$options)
    Sys.umask(state$umask)
    for (one in categories[locales() != state$locale]) {
      suppressWarnings(Sys.setlocale(one, state$locale[[one]]))
    }
    flush(stdout())
    flush(stderr())
  }

  enter <- function(task) {
    pairs <- task$env
    wanted <- stats::setNames(lapply(pairs, function(pair) pair[[2]]), vapply(pairs, function(pair) pair[[1]], ""))
    do.call(Sys.setenv, wanted)
    own <<- names(wanted)
    setwd(task$scratch)
  }

  answer_to <- function(task) {
    tryCatch(
      sprintf("{\"stoker\":\"done\",\"id\":%.0f,\"values\":%s}", task$id, values_of(task)),
      error = function(problem) {
        show(problem)
        sprintf(
          "{\"stoker\":\"failed\",\"id\":%.0f,\"reason\":%s}", task$id,
          quote_json(words_of(problem))
        )
      }
    )
  }

  remember()
  tell("{\"stoker\":\"ready\"}")
  repeat {
    line <- next_line()
    if (!length(line)) break
    task <- parse_json(line)
    if (!is.null(task$stoker)) break
    enter(task)
    answer <- answer_to(task)
    restore()
    tell(answer)
  }
})()
