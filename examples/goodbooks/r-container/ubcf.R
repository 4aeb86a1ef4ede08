# User-based collaborative filtering over a dense matrix of ratings.
#
# A user's unknown ratings are predicted from the most similar users of the training set. Ratings are centred by the mean of
# the user who gave them; similarity is Cosine or Pearson over the items that both users rated; a prediction is the weighted
# mean of the neighbours' centred ratings, moved back to the mean of the user.
#
# Two modes, which differ in how a correlation becomes a similarity and in who divides the weighted sum:
#   classic  similarity 1 - (1 - |c|) for Cosine, 1 / (2 - max(r, 0)) for Pearson; the sum is divided by the similarities
#            of all neighbours, and an item that no neighbour rated is predicted with the mean of the user
#   modern   similarity (c + 1) / 2 for both; the sum is divided by the similarities of the neighbours who rated the
#            item, and an item that none of them rated is not predicted
#
# Only arithmetic: no files, no requests. Missing ratings are NA; a centred rating of exactly 0 is a rating.

METHODS <- c("Cosine", "Pearson")
MODES <- c("classic", "modern")

# Ratings as a matrix, users by books, both ascending by number; the rating of a pair is the mean of what is given for it.
# `ratings`: a data frame with the numeric columns user_ind, book_ind, rating.
rating_matrix <- function(ratings) {
  users <- sort(unique(ratings$user_ind))
  books <- sort(unique(ratings$book_ind))
  cell <- match(ratings$user_ind, users) + (match(ratings$book_ind, books) - 1) * length(users)
  values <- mean_by(ratings$rating, cell)
  table <- matrix(NA_real_, length(users), length(books), dimnames = list(label(users), label(books)))
  table[values$at] <- values$mean
  table
}

# One row of that matrix, without making the others.
rating_row <- function(ratings, row) {
  users <- sort(unique(ratings$user_ind))
  books <- sort(unique(ratings$book_ind))
  own <- ratings$user_ind == users[row]
  values <- mean_by(ratings$rating[own], match(ratings$book_ind[own], books))
  result <- structure(rep(NA_real_, length(books)), names = label(books))
  result[values$at] <- values$mean
  result
}

# The mean of the values at every distinct place.
mean_by <- function(values, at) {
  if (anyDuplicated(at) == 0) return(list(at = at, mean = values))
  means <- tapply(values, at, mean)
  list(at = as.numeric(names(means)), mean = as.vector(means))
}

# Numbers as they are written in the file: 100000 and not 1e+05.
label <- function(numbers) sprintf("%.15g", numbers)

# The model: the centred ratings of the training users. `ratings`: users by books; `neighbours`: how many users a
# prediction takes at most.
fit <- function(ratings, method, neighbours, mode) {
  centred <- ratings - rowMeans(ratings, na.rm = TRUE)
  list(format = 1L, method = method, neighbours = neighbours, mode = mode, books = colnames(ratings),
       centred = unname(centred))
}

# The model with what every prediction needs: made once, when it is loaded.
prepared <- function(model) {
  model$known <- !is.na(model$centred)
  model$filled <- ifelse(model$known, model$centred, 0)
  model
}

# Similarity of every training user to the centred ratings `own`; NA where no item is shared (Pearson: fewer than two, or
# one side constant). Sums run in the order of the books, in doubles: their rounding decides between equal neighbours.
similarity <- function(model, own) {
  if (model$method == "Cosine") cosine(model, own) else pearson(model, own)
}

cosine <- function(model, own) {
  zero <- numeric(nrow(model$known))
  xy <- xx <- yy <- shared <- zero
  for (item in which(!is.na(own))) {
    both <- model$known[, item]
    theirs <- model$filled[, item]
    xy <- xy + own[item] * theirs
    xx <- xx + own[item]^2 * both
    yy <- yy + theirs * theirs
    shared <- shared + both
  }
  cosine <- xy / (sqrt(xx) * sqrt(yy))
  # 0 / 0: two users without any deviation are alike, one without and one with are not.
  undefined <- is.nan(cosine)
  tiny <- .Machine$double.xmin
  cosine[undefined] <- as.numeric(xx[undefined] < tiny & yy[undefined] < tiny)
  cosine[shared == 0] <- NA
  if (model$mode == "classic") 1 - (1 - abs(cosine)) else (cosine + 1) / 2
}

pearson <- function(model, own) {
  # A side without variance is what NA stands for, and nothing to be warned of.
  correlation <- suppressWarnings(
    as.vector(stats::cor(t(model$centred), own, use = "pairwise.complete.obs")))
  if (model$mode == "classic") 1 / (1 + (1 - pmax(correlation, 0))) else (correlation + 1) / 2
}

# Predicted ratings of all items for a user, by position; NA where there is no prediction.
# `ratings`: the user's own, one for each book of the model, NA where there is none.
predict_ratings <- function(model, ratings) {
  centre <- mean(ratings, na.rm = TRUE)
  own <- ratings - centre
  alike <- similarity(model, own)
  classic <- model$mode == "classic"
  # Equal neighbours stay in the order of the training set. Classic takes users without a similarity when others are too few.
  ranked <- order(-alike, na.last = if (classic) TRUE else NA, method = "radix")
  nearest <- ranked[seq_len(min(model$neighbours, length(ranked)))]
  total <- weight <- numeric(length(ratings))
  for (user in nearest) {
    rated <- model$known[user, ]
    total[rated] <- total[rated] + alike[user] * model$filled[user, rated]
    weight[rated] <- weight[rated] + alike[user]
  }
  if (classic) weight <- sum(alike[nearest], na.rm = TRUE)
  predicted <- total / weight + centre
  predicted[!is.finite(predicted)] <- NA
  predicted
}

# The names of at most `count` books that the user did not rate, best first; equal predictions in the order of the books.
recommend <- function(model, ratings, count) {
  predicted <- predict_ratings(model, ratings)
  predicted[!is.na(ratings)] <- NA
  model$books[utils::head(order(-predicted, na.last = NA, method = "radix"), count)]
}
