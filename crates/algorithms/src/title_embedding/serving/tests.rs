//! Requests and their answers, on a model whose numbers can be checked by hand.

use super::*;
use crate::title_embedding::embed::Embedder;
use crate::title_embedding::hyperparameters::Hyperparameters;
use crate::title_embedding::vectors::WordTable;

/// Words along axes: cat and dog share one, stone has its own.
fn predictor(pairs: &[(&str, &str)]) -> Predictor {
    let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let h = Hyperparameters::from_pairs(&pairs).unwrap();
    let words = ["cat", "dog", "stone"].map(str::to_owned).to_vec();
    let table = WordTable::from_parts(2, words, vec![1.0, 0.0, 0.8, 0.6, 0.0, 2.0]);
    let embedder = Embedder::new(&h, table, None);
    let titles = ["Cat", "Dog", "Stone", "Unheard"].map(str::to_owned).to_vec();
    let vectors = titles.iter().flat_map(|title| embedder.embed(title).vector).collect();
    let ids = ["1", "2", "3", "4"].map(str::to_owned).to_vec();
    Predictor::new(Model { embedder, hyperparameters: h, dim: 2, ids, titles, vectors })
}

fn ask_of(model: &Predictor, instance: Value) -> Value {
    let body = json!({"instances": [instance]}).to_string();
    let reply = model.invoke("application/json", None, body.as_bytes()).unwrap();
    let mut answer: Value = serde_json::from_slice(&reply.body).unwrap();
    answer["predictions"][0].take()
}

fn ask(instance: Value) -> Value {
    ask_of(&predictor(&[]), instance)
}

fn near(value: &Value, want: f64) {
    assert!((value.as_f64().unwrap() - want).abs() < 1e-5, "{value} {want}");
}

#[test]
fn similar_titles_are_ordered_by_cosine() {
    let answer = ask(json!({"title": "The cat", "n": 2}));
    assert_eq!(answer["unknown_words"], json!(["the"]));
    let similar = answer["similar"].as_array().unwrap();
    assert_eq!((similar.len(), &similar[0]["id"], &similar[1]["title"]), (2, &json!("1"), &json!("Dog")));
    near(&similar[0]["score"], 1.0);
    near(&similar[1]["score"], 0.8);
    let answer = ask(json!({"id": 1}));
    let ids: Vec<&Value> = answer["similar"].as_array().unwrap().iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, [&json!("2"), &json!("3")], "neither itself nor a title without a known word");
    assert_eq!(ask(json!({"title": "unheard of"}))["similar"], json!([]));
    assert_eq!(ask(json!({"id": "4"}))["similar"], json!([]));
}

#[test]
fn vectors_are_given() {
    let answer = ask(json!({"title": "dog", "type": "embedding"}));
    near(&answer["embedding"][0], 0.8);
    near(&answer["embedding"][1], 0.6);
    assert_eq!(ask(json!({"id": "3", "type": "embedding"}))["embedding"], json!([0.0, 1.0]));
}

#[test]
fn scores_follow_the_formula() {
    let model = predictor(&[("shrinkage", "0.5"), ("similarity_power", "2")]);
    let ratings = json!({"1": 5, "3": 2, "77": 1});
    // cos(dog, cat) = 0.8, cos(dog, stone) = 0.6; the mean is of the known ones.
    let want = (0.5 * 3.5 + 0.64 * 5.0 + 0.36 * 2.0) / (0.5 + 0.64 + 0.36);
    let answer = ask_of(&model, json!({"ratings": ratings, "title": "dog"}));
    near(&answer["score"], want);
    assert_eq!(answer["unknown_ids"], json!(["77"]));
    let answer = ask_of(&model, json!({"ratings": ratings, "titles": ["unheard", "dog", "cat"]}));
    let listed = answer["recommendations"].as_array().unwrap();
    assert_eq!(
        listed.iter().map(|e| e["title"].as_str().unwrap()).collect::<Vec<_>>(),
        ["cat", "dog", "unheard"]
    );
    near(&listed[1]["score"], want);
    near(&listed[2]["score"], 3.5);
    assert_eq!(listed[2]["known_words"], 0);
    let answer = ask_of(&model, json!({"ratings": ratings, "n": 5}));
    let listed = answer["recommendations"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!("2")), "rated titles are left out");
    near(&listed[0]["score"], want);
    let only_best = predictor(&[("shrinkage", "0"), ("neighbors", "1")]);
    near(&ask_of(&only_best, json!({"ratings": {"1": 5, "3": 2}, "title": "dog"}))["score"], 5.0);
    near(&ask_of(&only_best, json!({"ratings": {"1": 5, "3": 2}, "title": "unheard"}))["score"], 3.5);
}

#[test]
fn lines_are_answered_by_lines() {
    let model = predictor(&[]);
    let body = b"{\"id\": 1, \"n\": 1}\n\n{\"title\": \"dog\", \"type\": \"embedding\"}\n";
    let reply = model.invoke("application/jsonlines", None, body).unwrap();
    assert_eq!(reply.content_type, "application/jsonlines");
    let text = String::from_utf8(reply.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["similar"][0]["id"]), (2, &json!("2")));
    assert!(lines[1]["embedding"].is_array());
    let reply = model.invoke("application/jsonlines", Some("application/json"), body).unwrap();
    assert!(reply.body.starts_with(b"{\"predictions\":["));
}

#[test]
fn bad_requests_are_explained() {
    let model = predictor(&[]);
    let refused = |kind: &str, body: &str| model.invoke(kind, None, body.as_bytes()).unwrap_err();
    let one = |instance: &str| {
        refused("application/json", &format!("{{\"instances\": [{{\"id\": 1}}, {instance}]}}"))
    };
    for (instance, want) in [
        ("7", "it is not a JSON object"),
        ("{}", "none of the keys 'title', 'id' and 'ratings' is present"),
        ("{\"titel\": \"x\"}", "key 'titel' is not known"),
        ("{\"title\": 3}", "key 'title': 3 is not a text"),
        ("{\"id\": 9}", "key 'id': no title of the model has the id '9'"),
        ("{\"id\": 1, \"title\": \"x\"}", "keys 'title' and 'id' do not go together"),
        ("{\"id\": 1, \"n\": 0}", "key 'n': 0 is not a whole number from 1 to 10000"),
        ("{\"id\": 1, \"type\": \"x\"}", "key 'type': \"x\" is not one of"),
        ("{\"titles\": [\"x\"]}", "key 'titles' needs the key 'ratings'"),
        ("{\"ratings\": {}}", "key 'ratings': it is not an object of 1 to 100000 ids"),
        ("{\"ratings\": {\"1\": \"5\"}}", "key 'ratings': \"5\" for '1' is not a number"),
        ("{\"ratings\": {\"9\": 5}}", "key 'ratings': no title of the model has one of its ids"),
        ("{\"ratings\": {\"1\": 5}, \"titles\": []}", "key 'titles': it is not a list of 1 to 100000 titles"),
        ("{\"ratings\": {\"1\": 5}, \"id\": 1}", "key 'ratings' does not go with"),
    ] {
        let failure = one(instance);
        assert_eq!(failure.status, 400);
        assert!(failure.message.starts_with(&format!("Instance 1: {want}")), "{}", failure.message);
    }
    assert_eq!(refused("application/json", "[]").message, no_list_message());
    assert!(refused("application/json", "{").message.starts_with("The request is not JSON"));
    assert_eq!(refused("application/json", "{\"instances\": []}").message, "The request has no instances");
    assert!(refused("application/jsonlines", "{\"id\": 1}\nx").message.starts_with("Line 2: it is not JSON"));
    assert_eq!(refused("text/csv", "x").status, 415);
    assert_eq!(model.invoke("application/json", Some("text/csv"), b"{}").unwrap_err().status, 406);
}

fn no_list_message() -> &'static str {
    "The request must be a JSON object with a list under the key 'instances'"
}
