# Training: reads the channel `train`, keeps the first users, and writes the model.
#
# Ends with 0 and /opt/ml/model/ubcf.rds, or with 1 and the reason in /opt/ml/output/failure.

source("/opt/program/ubcf.R")
source("/opt/program/contract.R")

train <- function() {
  chosen <- hyperparameters()
  ratings <- read_channel("train")
  users <- length(unique(ratings$user_ind))
  books <- length(unique(ratings$book_ind))
  if (as.numeric(users) * books > MAX_CELLS) {
    refuse(users, " users by ", books, " books are more cells than the ", format(MAX_CELLS, big.mark = ","),
           " that this program holds")
  }
  if (chosen$users > users) refuse("hyperparameter n_users is ", chosen$users, ", but the ratings are of ", users, " users")
  cat("Ratings Matrix size: ", users, " users, ", books, " books, ", nrow(ratings), " ratings\n", sep = "")
  model <- fit(rating_matrix(ratings)[seq_len(chosen$users), , drop = FALSE], chosen$method, chosen$neighbours, chosen$mode)
  dir.create(dirname(MODEL_FILE), recursive = TRUE, showWarnings = FALSE)
  saveRDS(model, MODEL_FILE)
  cat("Trained: method=", chosen$method, " nn=", chosen$neighbours, " n_users=", chosen$users, " mode=", chosen$mode, "\n",
      sep = "")
}

fail <- function(fault) {
  message <- conditionMessage(fault)
  if (!inherits(fault, "bad_input")) message <- paste("the training program failed:", message)
  cat(message, "\n", sep = "", file = stderr())
  folder <- file.path(ROOT, "output")
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  cat(substr(message, 1, MAX_FAILURE), file = file.path(folder, "failure"))
  quit(save = "no", status = 1)
}

tryCatch(train(), error = fail)
