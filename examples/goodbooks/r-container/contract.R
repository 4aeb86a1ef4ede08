# The platform's side: hyperparameters, the training channel, CSV, the model file, and errors that name what is wrong.
#
# What a user can put right is signalled as a condition of class "bad_input", by `refuse`; anything else is a fault.

ROOT <- "/opt/ml"
MODEL_FILE <- file.path(ROOT, "model", "ubcf.rds")
COLUMNS <- c("user_ind", "book_ind", "rating")
# 800 MB of doubles. Training holds a few of them.
MAX_CELLS <- 1e8
# Of a failure message; the platform shows as many.
MAX_FAILURE <- 1024
# What the platform lets through to an endpoint.
MAX_BODY <- 25 * 1024^2

refuse <- function(...) stop(errorCondition(paste0(...), class = "bad_input", call = NULL))

first_line <- function(fault) sub("\n.*", "", conditionMessage(fault))

# A whole number of at least 1 from text, as hyperparameters and environment variables are.
positive <- function(text, name) {
  if (!grepl("^[0-9]{1,9}$", text) || as.integer(text) < 1) {
    refuse(name, " is \"", text, "\"; it must be a whole number of at least 1")
  }
  as.integer(text)
}

# The name among `names` that `text` means, whatever its case.
one_of <- function(text, names, name) {
  found <- names[tolower(names) == tolower(text)]
  if (length(found) == 0) refuse(name, " is \"", text, "\"; it must be one of ", paste(names, collapse = ", "))
  found
}

# The hyperparameters of the job over the chapter's defaults. Their values are strings: "10". Names that begin with _ or
# sagemaker_ are the platform's and the SDK's own.
hyperparameters <- function() {
  path <- file.path(ROOT, "input", "config", "hyperparameters.json")
  values <- list(method = "Cosine", nn = "10", n_users = "190", mode = "classic")
  if (file.exists(path)) {
    given <- tryCatch(jsonlite::fromJSON(path, simplifyVector = FALSE),
                      error = function(fault) refuse("hyperparameters.json is not JSON: ", first_line(fault)))
    if (length(given) > 0 && is.null(names(given))) refuse("hyperparameters.json is not an object")
    for (name in grep("^(_|sagemaker_)", names(given), value = TRUE, invert = TRUE)) {
      if (!name %in% names(values)) {
        refuse("hyperparameter ", name, " is not known; known are ", paste(names(values), collapse = ", "))
      }
      value <- given[[name]]
      if (length(value) != 1 || is.list(value)) refuse("hyperparameter ", name, " must be a string")
      values[[name]] <- as.character(value)
    }
  }
  list(method = one_of(values$method, METHODS, "hyperparameter method"),
       mode = one_of(values$mode, MODES, "hyperparameter mode"),
       neighbours = positive(values$nn, "hyperparameter nn"),
       users = positive(values$n_users, "hyperparameter n_users"))
}

# Ratings from the CSV in a file.
read_file <- function(path) {
  checked(read_csv(basename(path), file = path, fileEncoding = "UTF-8-BOM"), basename(path))
}

# Ratings from the CSV in the bytes of a request; `what` names them in messages.
read_bytes <- function(bytes, what) {
  if (length(bytes) == 0) refuse(what, " is empty")
  if (any(bytes == 0)) refuse(what, " is not text")
  byte_order_mark <- as.raw(c(0xef, 0xbb, 0xbf))
  if (identical(utils::head(bytes, 3), byte_order_mark)) bytes <- utils::tail(bytes, -3)
  checked(read_csv(what, text = rawToChar(bytes)), what)
}

read_csv <- function(what, ...) {
  tryCatch(utils::read.csv(..., strip.white = TRUE, stringsAsFactors = FALSE),
           error = function(fault) refuse(what, " is not CSV with a header: ", conditionMessage(fault)))
}

# The three columns of a table as finite numbers.
checked <- function(table, what) {
  missing <- setdiff(COLUMNS, names(table))
  if (length(missing) > 0) {
    refuse(what, " has no column ", paste(missing, collapse = ", "), "; its first line must name ",
           paste(COLUMNS, collapse = ","))
  }
  table <- table[COLUMNS]
  if (nrow(table) == 0) refuse(what, " has no ratings")
  for (column in COLUMNS) {
    numbers <- suppressWarnings(as.numeric(table[[column]]))
    wrong <- which(!is.finite(numbers))
    if (length(wrong) > 0) {
      text <- substr(table[[column]][wrong[1]], 1, 40)
      refuse(what, ", rating ", wrong[1], ": ", column, " is \"", text, "\", not a number")
    }
    table[[column]] <- numbers
  }
  table
}

# All CSV files of the channel, one after the other.
read_channel <- function(name) {
  folder <- file.path(ROOT, "input", "data", name)
  files <- sort(list.files(folder, pattern = "[.]csv$", full.names = TRUE, recursive = TRUE))
  if (length(files) == 0) refuse("channel ", name, " has no file that ends in .csv")
  do.call(rbind, lapply(files, read_file))
}

load_model <- function() {
  if (!file.exists(MODEL_FILE)) {
    refuse("there is no ", MODEL_FILE, ": the model's artifact must come from a training job of this image")
  }
  model <- tryCatch(readRDS(MODEL_FILE),
                    error = function(fault) refuse(MODEL_FILE, " cannot be read: ", conditionMessage(fault)))
  if (!is.list(model) || !identical(model$format, 1L)) refuse(MODEL_FILE, " is not a model of this program")
  prepared(model)
}

# A positive number from the environment of the model.
setting <- function(name, default) positive(Sys.getenv(name, default), paste("environment variable", name))
