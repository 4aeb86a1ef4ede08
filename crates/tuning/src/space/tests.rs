use super::*;
use proptest::prelude::*;

fn one(range: Range) -> Result<Space, SpaceError> {
    Space::new(vec![Parameter { name: "x".into(), range }])
}

fn real(min: f64, max: f64, scaling: Scaling) -> Range {
    Range::Continuous { min, max, scaling }
}

#[test]
fn wrong_ranges_are_refused_with_their_name_and_reason() {
    let message = |range| one(range).map_err(|error| error.to_string()).unwrap_err();
    assert!(message(real(2.0, 1.0, Scaling::Linear)).contains("'x': its minimum 2 is larger"));
    assert!(message(real(0.0, 1.0, Scaling::Logarithmic)).contains("larger than 0, and it is 0"));
    assert!(message(real(0.0, 1.0, Scaling::ReverseLogarithmic)).contains("1 excluded"));
    assert!(message(real(f64::NAN, 1.0, Scaling::Linear)).contains("finite"));
    assert!(message(Range::Categorical { values: vec![] }).contains("0 values"));
    assert!(message(Range::Categorical { values: vec!["a".into(), "a".into()] }).contains("twice"));
    assert!(
        message(Range::Integer { min: 0, max: 9, scaling: Scaling::Logarithmic }).contains("larger than 0")
    );
    assert_eq!(Space::new(vec![]), Err(SpaceError::Count(0)));
}

#[test]
fn scales_are_even_in_what_they_say() {
    let middle = |range: Range| match range.value(0.5) {
        Value::Number(number) => number,
        other => panic!("{other}"),
    };
    assert!((middle(real(0.01, 100.0, Scaling::Logarithmic)) - 1.0).abs() < 1e-12);
    assert!((middle(real(0.01, 100.0, Scaling::Auto)) - 1.0).abs() < 1e-12);
    assert!((middle(real(1.0, 3.0, Scaling::Auto)) - 2.0).abs() < 1e-12);
    assert!((middle(real(0.0, 0.99, Scaling::ReverseLogarithmic)) - 0.9).abs() < 1e-12);
}

#[test]
fn integers_have_equal_shares() {
    let range = Range::Integer { min: 1, max: 4, scaling: Scaling::Linear };
    let mut counts = [0; 5];
    for step in 0..1000 {
        match range.value((step as f64 + 0.5) / 1000.0) {
            Value::Integer(number) => counts[number as usize] += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(counts, [0, 250, 250, 250, 250]);
}

#[test]
fn finite_spaces_are_enumerated_once_each() -> Result<(), SpaceError> {
    let space = Space::new(vec![
        Parameter {
            name: "n".into(),
            range: Range::Integer { min: 2, max: 4, scaling: Scaling::Logarithmic },
        },
        Parameter { name: "c".into(), range: Range::Categorical { values: vec!["a".into(), "b".into()] } },
    ])?;
    let points: Vec<String> = space
        .enumerate(100)
        .into_iter()
        .flatten()
        .map(|point| space.setting(&point).iter().map(|value| format!("{value} ")).collect())
        .collect();
    assert_eq!(points, ["2 a ", "2 b ", "3 a ", "3 b ", "4 a ", "4 b "]);
    assert!(space.enumerate(5).is_none());
    Ok(())
}

proptest! {
    #[test]
    fn a_setting_has_its_own_point(place in 0.0..1.0f64, low in 1..50i64, width in 0..500i64) {
        for scaling in [Scaling::Auto, Scaling::Linear, Scaling::Logarithmic] {
            let range = Range::Integer { min: low, max: low + width, scaling };
            let value = range.value(place);
            let again = range.value(range.place(&value).unwrap());
            prop_assert_eq!(&value, &again);
            let range = real(low as f64, (low + width) as f64 + 0.5, scaling);
            let value = range.value(place);
            prop_assert!((range.place(&value).unwrap() - place).abs() < 1e-6);
        }
    }
}
