//! The opaque token between pages of a search: a place as text.

use sagebrush_metastore::{Place, Rank, Term};
use sagebrush_types::{Failure, Outcome};

/// A place as text.
pub fn write(place: &Place) -> String {
    let entry = place.entry;
    match &place.rank {
        Rank::Time(time) => format!("t.{entry}.{time}"),
        Rank::Absent(time) => format!("a.{entry}.{time}"),
        // The bits, so that not the least of a number is lost.
        Rank::Value(Term::Number(number)) => format!("n.{entry}.{:016x}", number.to_bits()),
        Rank::Value(Term::Text(text)) => format!("s.{entry}.{text}"),
        Rank::Value(Term::End) => format!("e.{entry}."),
    }
}

/// The place behind a token.
///
/// # Errors
/// `Invalid` for a text that is no token.
pub fn read(token: &str) -> Outcome<Place> {
    place(token).ok_or_else(|| Failure::invalid("NextToken: the token was not issued by this operation."))
}

fn place(token: &str) -> Option<Place> {
    let mut parts = token.splitn(3, '.');
    let (kind, entry, value) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    let rank = match kind {
        "t" => Rank::Time(value.parse().ok()?),
        "a" => Rank::Absent(value.parse().ok()?),
        "n" => Rank::Value(Term::Number(f64::from_bits(u64::from_str_radix(value, 16).ok()?))),
        "s" => Rank::Value(Term::Text(value.to_owned())),
        "e" => Rank::Value(Term::End),
        _ => return None,
    };
    Some(Place { rank, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_and_strangers_are_refused() {
        for rank in [
            Rank::Time(-5),
            Rank::Absent(1_700_000_000_000),
            Rank::Value(Term::Number(0.1 + 0.2)),
            Rank::Value(Term::Text("a.b.ä".into())),
        ] {
            let place = Place { rank, entry: 42 };
            assert_eq!(read(&write(&place)).ok(), Some(place));
        }
        for stranger in ["", "t", "t.1", "x.1.2", "n.1.zz", "t.a.1"] {
            assert!(read(stranger).is_err(), "{stranger}");
        }
    }
}
