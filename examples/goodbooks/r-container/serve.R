# Serving with plumber: GET /ping and POST /invocations on port 8080.
#
# A request is the whole CSV of ratings again; the answer are the books recommended to one row of it, in JSON. The model is
# read once, before the port opens. R has one thread: requests are answered one after the other.
#
# Environment of the model: RECOMMENDER_ROW, the row that is answered (272, counted from 1 in the order of the users'
# numbers); RECOMMENDER_TOP_N, how many books (5).

source("/opt/program/ubcf.R")
source("/opt/program/contract.R")

answer <- function(model, body, row, count) {
  ratings <- read_bytes(body, "the request")
  users <- length(unique(ratings$user_ind))
  if (users < row) refuse("the request has ratings of ", users, " users; row ", row, " is asked for")
  own <- rating_row(ratings, row)
  if (length(own) != length(model$books)) {
    refuse("the request has ", length(own), " books, the model ", length(model$books), ": send ratings of the same books")
  }
  other <- which(names(own) != model$books)
  if (length(other) > 0) {
    refuse("book ", names(own)[other[1]], " of the request stands where the model has ", model$books[other[1]],
           ": send ratings of the same books")
  }
  recommend(model, unname(own), count)
}

# Handlers of plumber: the status goes into `response`, what is returned becomes JSON.
refused <- function(response, status, message) {
  response$status <- status
  list(error = jsonlite::unbox(message))
}

invocations <- function(model, row, count) {
  function(req, res) {
    type <- trimws(sub(";.*", "", tolower(paste0(req$CONTENT_TYPE, ""))))
    if (type != "text/csv") return(refused(res, 415L, paste0("the content type is \"", type, "\"; it must be text/csv")))
    tryCatch(list(answer(model, req$bodyRaw, row, count)),
             bad_input = function(fault) refused(res, 400L, conditionMessage(fault)))
  }
}

faulty <- function(req, res, fault) {
  cat("fault: ", conditionMessage(fault), "\n", sep = "", file = stderr())
  refused(res, 500L, "the recommender failed; its log says why")
}

serve <- function() {
  row <- setting("RECOMMENDER_ROW", "272")
  count <- setting("RECOMMENDER_TOP_N", "5")
  port <- setting("SAGEMAKER_BIND_TO_PORT", "8080")
  model <- load_model()
  options(plumber.maxRequestSize = MAX_BODY)
  # Bodies stay bytes: the handler reads them, and says what is wrong with them.
  plumber::register_parser("bytes", function(...) function(value, ...) value, regex = ".")
  api <- plumber::pr()
  api <- plumber::pr_get(api, "/ping", function() list(status = jsonlite::unbox("ready")))
  api <- plumber::pr_post(api, "/invocations", invocations(model, row, count), parsers = "bytes")
  api <- plumber::pr_set_error(api, faulty)
  cat("Serving ", nrow(model$known), " users, ", length(model$books), " books on port ", port, "\n", sep = "")
  plumber::pr_run(api, host = "0.0.0.0", port = port, docs = FALSE, quiet = TRUE)
}

tryCatch(serve(), bad_input = function(fault) {
  cat(conditionMessage(fault), "\n", sep = "", file = stderr())
  quit(save = "no", status = 1)
})
