//! Titles for books that do not exist.
//!
//! Promises: every title of one set is different; some hold commas and some quotes, as real ones do.

use std::collections::HashSet;

use super::random::Random;

const ADJECTIVES: [&str; 40] = [
    "Amber",
    "Broken",
    "Burning",
    "Crooked",
    "Distant",
    "Drowned",
    "Early",
    "Empty",
    "Fallen",
    "Forgotten",
    "Gentle",
    "Golden",
    "Hidden",
    "Hollow",
    "Hungry",
    "Idle",
    "Last",
    "Little",
    "Lonely",
    "Long",
    "Lost",
    "Northern",
    "Old",
    "Pale",
    "Patient",
    "Quiet",
    "Restless",
    "Salt",
    "Secret",
    "Silver",
    "Sleeping",
    "Slow",
    "Stolen",
    "Strange",
    "Third",
    "Unfinished",
    "Wandering",
    "Whispering",
    "White",
    "Winter",
];

const NOUNS: [&str; 48] = [
    "Archive",
    "Bakery",
    "Bell",
    "Bridge",
    "Cartographer",
    "Cellar",
    "Clock",
    "Coast",
    "Daughter",
    "Door",
    "Echo",
    "Ferry",
    "Field",
    "Garden",
    "Gate",
    "Harbour",
    "Harvest",
    "House",
    "Island",
    "Journal",
    "Juniper",
    "Key",
    "Lantern",
    "Ledger",
    "Library",
    "Lighthouse",
    "Map",
    "Meadow",
    "Mill",
    "Mirror",
    "Moth",
    "Orchard",
    "Painter",
    "Passenger",
    "Pilot",
    "Promise",
    "River",
    "Road",
    "Room",
    "Sailor",
    "Season",
    "Shepherd",
    "Song",
    "Station",
    "Thief",
    "Tide",
    "Valley",
    "Witness",
];

const PLACES: [&str; 24] = [
    "Alder Hill",
    "Ashby",
    "the Border",
    "Cold Bay",
    "Dunmore",
    "Elm Street",
    "the Fens",
    "Glass Lake",
    "Hartfield",
    "the High Pass",
    "Inverlea",
    "Kestrel Rock",
    "Larch Wood",
    "the Marsh",
    "Merrow",
    "Nine Wells",
    "the North",
    "Oldtown",
    "Port Sorrow",
    "Quarry Lane",
    "Redwater",
    "the Sound",
    "Thornby",
    "Weston Quay",
];

const NAMES: [&str; 28] = [
    "Ada", "Agnes", "Bruno", "Clara", "Daniel", "Edith", "Elias", "Flora", "Georg", "Hanna", "Ida", "Ivo",
    "Jonas", "Judith", "Karin", "Leon", "Magda", "Martin", "Nora", "Oskar", "Paula", "Rosa", "Samuel",
    "Simon", "Tessa", "Ursula", "Viktor", "Wanda",
];

/// A different title for each of `count` books.
pub fn draw(count: usize, random: &mut Random) -> Vec<String> {
    let mut used = HashSet::with_capacity(count);
    let mut titles = Vec::with_capacity(count);
    while titles.len() < count {
        let mut title = one(random);
        let mut volume = 2;
        while !used.insert(title.clone()) {
            title = format!("{}, Vol. {volume}", one(random));
            volume += 1;
        }
        titles.push(title);
    }
    titles
}

fn pick<'a>(words: &[&'a str], random: &mut Random) -> &'a str {
    words.get(random.below(words.len())).copied().unwrap_or_default()
}

fn one(random: &mut Random) -> String {
    let adjective = pick(&ADJECTIVES, random);
    let (noun, other) = (pick(&NOUNS, random), pick(&NOUNS, random));
    let (place, name) = (pick(&PLACES, random), pick(&NAMES, random));
    let part = 1 + random.below(7);
    match random.below(20) {
        0..=3 => format!("The {adjective} {noun}"),
        4 | 5 => format!("The {noun} of {place}"),
        6 | 7 => format!("{name} and the {adjective} {noun}"),
        8..=11 => format!("The {adjective} {noun} (The {other} of {place}, #{part})"),
        12 => format!("The {noun}'s {other}"),
        13 => format!("A {noun} in {place}"),
        14 => format!("{name}, {adjective} {noun}"),
        15 => format!("The {noun}, the {other} and {name}"),
        16 => format!("{name} of {place}: A Novel"),
        17 => format!("A {noun} Called \"{adjective}\" ({name} Trilogy, #{})", 1 + random.below(3)),
        18 => format!("Beyond {place} ({adjective} {noun}, #{part})"),
        _ => format!("The {noun} Before the {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_different_and_some_need_quoting() {
        let titles = draw(10_000, &mut Random::new(1, 1));
        assert_eq!(titles.iter().collect::<HashSet<_>>().len(), 10_000);
        let with = |mark: char| titles.iter().filter(|title| title.contains(mark)).count();
        assert!((100..2_000).contains(&with('"')) && with(',') > 1_000);
        assert!(titles.iter().all(|title| title.len() < 120));
    }
}
