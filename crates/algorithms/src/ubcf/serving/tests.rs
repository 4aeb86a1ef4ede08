//! Requests and answers in all formats.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::ubcf::hyperparameters::Hyperparameters;
use crate::ubcf::ratings::Collected;

/// Users 1 to 5, of whom the last likes what the first two like; books 10 to 15, of which nobody rated 15 but user 9.
const RATINGS: &[(u32, u32, f64)] = &[
    (1, 10, 5.0),
    (1, 11, 4.0),
    (1, 12, 1.0),
    (1, 13, 5.0),
    (2, 10, 4.0),
    (2, 11, 5.0),
    (2, 12, 2.0),
    (2, 14, 4.5),
    (3, 10, 1.0),
    (3, 11, 2.0),
    (3, 12, 5.0),
    (3, 14, 1.0),
    (4, 10, 3.0),
    (4, 12, 4.0),
    (4, 13, 2.0),
    (5, 10, 5.0),
    (5, 11, 5.0),
    (5, 12, 2.0),
    (9, 15, 3.0),
];

fn csv_of(ratings: &[(u32, u32, f64)]) -> String {
    let line = |(user, book, rating): &(u32, u32, f64)| format!("{user},{book},{rating}\n");
    "user_ind,book_ind,rating\n".to_owned() + &ratings.iter().map(line).collect::<String>()
}

fn predictor(pairs: &[(&str, &str)]) -> Predictor {
    let pairs: BTreeMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let h = Hyperparameters::from_pairs(&pairs).unwrap();
    let mut collected = Collected::new();
    for (user, book, rating) in RATINGS {
        collected.push(&user.to_string(), &book.to_string(), *rating).unwrap();
    }
    let (ratings, mut users, items) = collected.finish();
    users.truncate(5);
    Predictor::new(Model::new(h, users, items, ratings.first_rows(5)))
}

fn classic() -> Predictor {
    predictor(&[("nn", "2"), ("top_n", "2"), ("ind", "5")])
}

fn ask(model: &Predictor, kind: &str, accept: Option<&str>, body: &str) -> Result<String, (u16, String)> {
    model
        .invoke(kind, accept, body.as_bytes())
        .map(|reply| String::from_utf8(reply.body).unwrap())
        .map_err(|failure| (failure.status, failure.message))
}

fn predictions(model: &Predictor, instances: Value) -> Vec<Value> {
    let body = json!({ "instances": instances }).to_string();
    let reply: Value = serde_json::from_str(&ask(model, "application/json", None, &body).unwrap()).unwrap();
    reply["predictions"].as_array().unwrap().clone()
}

#[test]
fn a_whole_table_is_answered_as_the_chapter_does() {
    let (model, table) = (classic(), csv_of(RATINGS));
    assert_eq!(ask(&model, "text/csv", None, &table).unwrap(), r#"[["13","14"]]"#);
    assert_eq!(ask(&model, "text/csv; ind=5; n=1", Some("application/json"), &table).unwrap(), r#"[["13"]]"#);
    assert_eq!(
        ask(&model, "text/csv;n=3", Some("application/jsonlines"), &table).unwrap(),
        "[\"13\",\"14\",\"15\"]\n"
    );
    assert_eq!(ask(&model, "text/csv", Some("text/csv"), &table).unwrap(), "13,14\n");
    // Columns are known by their place: other names, the same answer.
    let renamed: Vec<_> = RATINGS.iter().map(|&(user, book, rating)| (user, book * 3, rating)).collect();
    assert_eq!(ask(&model, "text/csv", None, &csv_of(&renamed)).unwrap(), r#"[["13","14"]]"#);
}

#[test]
fn a_user_who_tells_his_ratings_gets_the_same_list() {
    let model = classic();
    let told = predictions(&model, json!([{"ratings": {"12": 2, "10": 5.0, "11": 5}, "with_ratings": true}]));
    assert_eq!(told[0]["items"], json!(["13", "14"]));
    let ratings = told[0]["ratings"].as_array().unwrap();
    assert!(ratings[0].as_f64().unwrap() > ratings[1].as_f64().unwrap());
    let known = predictions(&model, json!([{"user": 5}, {"user": "5", "n": 1}]));
    assert_eq!(known, [json!({"items": ["13", "14"]}), json!({"items": ["13"]})]);
}

#[test]
fn a_user_is_not_his_own_neighbour_in_modern() {
    let instances = json!([{"user": 1, "type": "ratingMatrix"}]);
    let modern = predictor(&[("mode", "modern"), ("nn", "1")]);
    // Without himself the nearest to user 1 are others, who did not rate book 13.
    assert_eq!(predictions(&modern, instances.clone())[0]["items"], json!(["10", "11", "12"]));
    let told = json!([{"ratings": {"10": 5, "11": 4, "12": 1, "13": 5}, "type": "ratingMatrix"}]);
    assert_eq!(predictions(&modern, told)[0]["items"], json!(["10", "11", "12", "13"]));
    let classic = predictor(&[("nn", "1")]);
    let own = &predictions(&classic, instances)[0];
    assert_eq!(own["items"], json!(["10", "11", "12", "13", "14", "15"]));
    assert_eq!(own["ratings"], json!([5.0, 4.0, 1.0, 5.0, 3.75, 3.75]), "his own ratings and his mean");
}

#[test]
fn ratings_of_everything_else() {
    let answer = &predictions(&classic(), json!([{"user": 5, "type": "ratings"}]))[0];
    assert_eq!(answer["items"], json!(["13", "14", "15"]));
    assert_eq!(answer["ratings"][2], 4.0, "nobody rated it: the user's mean");
    let nobody = &predictions(&classic(), json!([{"ratings": {}}]))[0];
    assert_eq!(nobody, &json!({"items": []}));
}

#[test]
fn items_that_the_model_does_not_know_are_told() {
    let model = classic();
    let answer = &predictions(&model, json!([{"ratings": {"12": 2, "10": 5, "11": 5, "x": 1}}]))[0];
    assert_eq!(answer, &json!({"items": ["13", "14"], "unknown_items": ["x"]}));
}

#[test]
fn many_instances_are_answered_in_order_and_in_lines() {
    let model = classic();
    let users: Vec<u32> = (0..50).map(|i| 1 + i % 5).collect();
    let all = predictions(&model, users.iter().map(|user| json!({ "user": user, "n": 1 + user })).collect());
    let alone: Vec<Value> =
        (1..6).map(|user| predictions(&model, json!([{ "user": user, "n": 1 + user }]))[0].clone()).collect();
    assert!(users.iter().zip(&all).all(|(&user, answer)| *answer == alone[user as usize - 1]));
    let lines =
        users.iter().map(|user| format!("{{\"user\": {user}, \"n\": {}}}\n\n", 1 + user)).collect::<String>();
    let answer = ask(&model, "application/jsonlines", None, &lines).unwrap();
    let answers: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers, all);
    assert!(
        ask(&model, "application/jsonlines", Some("application/json"), &lines)
            .unwrap()
            .starts_with("{\"pred")
    );
}

#[test]
fn bad_instances_are_named() {
    let model = classic();
    for (instance, message) in [
        (json!([1]), "it is not a JSON object"),
        (json!({}), "neither key 'ratings' nor key 'user' is present"),
        (json!({"user": 1, "ratings": {}}), "it has both key 'ratings' and key 'user'; give one of them"),
        (
            json!({"user": 7}),
            "key 'user': '7' is not in the training set. Give the user's ratings under the key",
        ),
        (json!({"user": [1]}), "key 'user': [1] is neither a text nor a number"),
        (json!({"user": 1, "n": 0}), "key 'n': 0 is not a whole number from 1 to 10000"),
        (json!({"user": 1, "n": 2.5}), "key 'n': 2.5 is not a whole number from 1 to 10000"),
        (json!({"user": 1, "n": 2, "type": "ratings"}), "key 'n' goes with the type topNList only"),
        (json!({"user": 1, "type": "all"}), "key 'type': \"all\" is not one of \"topNList\", \"ratings\","),
        (json!({"user": 1, "type": 3}), "key 'type': 3 is not one of"),
        (json!({"user": 1, "with_ratings": 1}), "key 'with_ratings': 1 is neither true nor false"),
        (
            json!({"user": 1, "count": 3}),
            "key 'count' is not known (allowed: ratings, user, n, type, with_ratings)",
        ),
        (json!({"ratings": [1]}), "key 'ratings': it is not an object of items and ratings"),
        (json!({"ratings": {"10": "5"}}), "key 'ratings': the rating \"5\" of '10' is not a number"),
        (json!({"ratings": {"10": 5, "10.0": 4}}), "key 'ratings': the item '10' is there twice"),
        (
            json!({"ratings": {"x": 5, "y": 4}}),
            "key 'ratings': the model knows none of the 2 items, of which 'x'",
        ),
    ] {
        let body = json!({"instances": [{"user": 1}, instance]}).to_string();
        let (status, what) = ask(&model, "application/json", None, &body).unwrap_err();
        assert!(status == 400 && what.starts_with(&format!("Instance 1: {message}")), "{what}");
        let lines = format!("{{\"user\": 1}}\n\n{instance}\n");
        let (status, what) = ask(&model, "application/jsonlines", None, &lines).unwrap_err();
        assert!(status == 400 && what.starts_with(&format!("Line 3: {message}")), "{what}");
    }
}

#[test]
fn bad_requests_are_named() {
    let model = classic();
    let refused = |kind: &str, accept: Option<&str>, body: &str| ask(&model, kind, accept, body).unwrap_err();
    let table = csv_of(RATINGS);
    for (kind, body, message) in [
        ("application/json", "{", "The request is not JSON: "),
        (
            "application/json",
            "[1]",
            "The request must be a JSON object with a list under the key 'instances'",
        ),
        ("application/json", "{\"instances\": []}", "The request has no instances"),
        ("application/jsonlines", "\n{", "Line 2: it is not JSON: "),
        ("text/csv", "", "The request has no ratings"),
        ("text/csv", "user_ind,book_ind,rating\n1,2,x\n", "Line 2: the rating 'x' is not a number"),
        (
            "text/csv",
            "user_ind,book_ind,rating\n1,2,3\n",
            "The request has ratings of 1 items, but the model has 6. A",
        ),
        (
            "text/csv; ind=7",
            &table,
            "Row 7 is asked for, but the request has the ratings of 6 users. Choose the row",
        ),
        ("text/csv; ind=0", &table, "The content type's parameter ind: '0' is not a whole number from 1 to"),
        (
            "text/csv; n=x",
            &table,
            "The content type's parameter n: 'x' is not a whole number from 1 to 10000",
        ),
    ] {
        let (status, what) = refused(kind, None, body);
        assert!(status == 400 && what.starts_with(message), "{what}");
    }
    let (status, what) = refused("image/png", None, "");
    assert_eq!(status, 415);
    assert_eq!(
        what,
        "The content type 'image/png' is not supported. Use text/csv, application/json or application/jsonlines"
    );
    assert_eq!(refused("text/csv", Some("image/png"), &table).0, 406);
}
