//! Titles into words.
//!
//! Words are those of Unicode's text segmentation (UAX 29), so that punctuation falls away and `don't` is one word; by
//! default in lower case, as most files of word vectors are.

use unicode_segmentation::UnicodeSegmentation;

/// Longest word, in bytes; what is longer is no word of any language, and its subwords would take time.
const MAX_WORD: usize = 256;

/// Words that English sentences need and that say little of what a title is about; sorted.
const ENGLISH: &[&str] = &[
    "a", "about", "above", "after", "again", "against", "all", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "could",
    "did", "do", "does", "doing", "down", "during", "each", "few", "for", "from", "further", "had", "has",
    "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it",
    "its", "just", "me", "more", "most", "my", "no", "nor", "not", "of", "off", "on", "once", "only", "or",
    "other", "our", "out", "over", "own", "same", "she", "should", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "too",
    "under", "until", "up", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who",
    "whom", "why", "will", "with", "would", "you", "your",
];

/// How titles become words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tokenizer {
    pub keep_case: bool,
    pub stop_words: bool,
}

impl Tokenizer {
    /// The words of a title, in order, repetitions included.
    pub(super) fn words(self, title: &str) -> Vec<String> {
        title
            .unicode_words()
            .map(|word| word.replace('\u{2019}', "'"))
            .filter(|word| word.len() <= MAX_WORD)
            .filter(|word| !self.stop_words || !is_stop_word(&word.to_lowercase()))
            .map(|word| if self.keep_case { word } else { word.to_lowercase() })
            .collect()
    }
}

fn is_stop_word(word: &str) -> bool {
    ENGLISH.binary_search(&word).is_ok()
}

/// Other ways to write a word that a file may know, best first: without the possessive, in lower case.
pub(super) fn spellings(word: &str) -> impl Iterator<Item = String> {
    let plain = word.strip_suffix("'s").or_else(|| word.strip_suffix("'S")).map(str::to_owned);
    let lower = |text: &str| Some(text.to_lowercase()).filter(|lower| lower != text);
    let lowered = [lower(word), plain.as_deref().and_then(lower)];
    plain.into_iter().chain(lowered.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(title: &str, keep_case: bool, stop_words: bool) -> Vec<String> {
        Tokenizer { keep_case, stop_words }.words(title)
    }

    #[test]
    fn the_list_of_stop_words_can_be_searched() {
        assert!(ENGLISH.is_sorted());
    }

    #[test]
    fn titles_become_words() {
        let title = "Harry Potter & the Philosopher\u{2019}s Stone (Harry Potter, #1)";
        assert_eq!(
            words(title, false, false),
            ["harry", "potter", "the", "philosopher's", "stone", "harry", "potter", "1"]
        );
        assert_eq!(words("The Girl on the TRAIN", true, true), ["Girl", "TRAIN"]);
        assert_eq!(words("\u{c9}tranger, L\u{2019}", false, false), ["\u{e9}tranger", "l"]);
        assert_eq!(words("1984", false, false), ["1984"]);
        assert!(words("!!! ...", false, false).is_empty());
        assert!(words(&"x".repeat(300), false, false).is_empty());
    }

    #[test]
    fn other_spellings_are_tried_in_order() {
        let all = |word| spellings(word).collect::<Vec<_>>();
        assert_eq!(all("Potter's"), ["Potter", "potter's", "potter"]);
        assert_eq!(all("potter's"), ["potter"]);
        assert!(all("potter").is_empty());
    }
}
