# Compares the recommender in R of examples/goodbooks/r-container with golden results of the package that the chapter used.
#
# Runs in its image, with the folder of the data at /data: goodbooks-275/ratings.csv and ubcf-golden/. Ends with 1 and says
# what differs when a list is not the same or a rating is further away than 1e-9.

source("/opt/program/ubcf.R")
source("/opt/program/contract.R")

TOLERANCE <- 1e-9
differences <- 0
differs <- function(...) {
  differences <<- differences + 1
  cat(..., "\n")
}
near <- function(found, golden) identical(is.na(found), is.na(golden)) && all(abs(found - golden) <= TOLERANCE, na.rm = TRUE)

# The lists of real users, and the ratings in them.
real_users <- function(mode) {
  table <- rating_matrix(read_file("/data/goodbooks-275/ratings.csv"))
  golden <- read.csv(sprintf("/data/ubcf-golden/topn_%s.csv", mode))
  cases <- split(golden, golden[c("method", "nn", "n_users", "row")])
  for (name in names(cases)) {
    case <- cases[[name]][order(cases[[name]]$rank), ]
    first <- case[1, ]
    model <- prepared(fit(table[seq_len(first$n_users), ], first$method, first$nn, mode))
    own <- unname(table[first$row, ])
    books <- recommend(model, own, nrow(case))
    if (!identical(books, as.character(case$book_ind))) differs(mode, name, "recommends", books)
    ratings <- predict_ratings(model, own)[match(case$book_ind, model$books)]
    if (!near(ratings, case$rating)) differs(mode, name, "predicts", ratings)
  }
  length(cases)
}

numbers <- function(rows) {
  t(vapply(rows, function(row) vapply(row, function(value) if (is.null(value)) NA else as.numeric(value), 0),
           numeric(length(rows[[1]]))))
}

# Tiny tables with users who share nothing, always give the same rating, or are the same. Options that this program does
# not have are left out.
edge_cases <- function(mode) {
  golden <- jsonlite::fromJSON(sprintf("/data/ubcf-golden/edge_cases_%s.json", mode), simplifyVector = FALSE)
  compared <- 0
  for (case in golden$results) {
    if (case$normalize != "center" || any(c("weighted", "min_matching_items") %in% names(case))) next
    fixture <- golden$fixtures[[case$fixture]]
    train <- numbers(fixture$train)
    colnames(train) <- seq_len(ncol(train))
    model <- prepared(fit(train, case$method, case$nn, mode))
    users <- numbers(fixture$new)
    expected <- numbers(case$ratings)
    for (user in seq_len(nrow(users))) {
      ratings <- predict_ratings(model, users[user, ])
      if (!near(ratings, expected[user, ])) differs(mode, case$fixture, case$method, case$nn, user, "predicts", ratings)
      books <- recommend(model, users[user, ], 5)
      if (!identical(books, as.character(unlist(case$top5[[user]])))) {
        differs(mode, case$fixture, case$method, case$nn, user, "recommends", books)
      }
      compared <- compared + 1
    }
  }
  compared
}

for (mode in MODES) cat(mode, real_users(mode), "lists", edge_cases(mode), "edge cases\n")
quit(save = "no", status = if (differences > 0) 1 else 0)
