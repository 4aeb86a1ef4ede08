//! Random identifiers and secrets from the operating system's generator.

/// `2 * bytes` lower-case hexadecimal digits.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0u8; bytes];
    fill(&mut buffer);
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `length` characters drawn evenly from `alphabet` (at most 256 characters, not empty).
pub fn secret_text(length: usize, alphabet: &[u8]) -> String {
    let bound = 256 - 256 % alphabet.len().clamp(1, 256);
    let mut text = String::with_capacity(length);
    let mut byte = [0u8; 1];
    while text.len() < length {
        fill(&mut byte);
        // Rejection keeps the draw even when 256 is no multiple of the alphabet's size.
        if usize::from(byte[0]) < bound {
            text.push(char::from(alphabet[usize::from(byte[0]) % alphabet.len()]));
        }
    }
    text
}

fn fill(buffer: &mut [u8]) {
    // A system whose generator fails cannot make a key or a name that is safe to use.
    assert!(getrandom::fill(buffer).is_ok(), "the operating system has no random numbers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_use_their_alphabet_and_differ() {
        let first = secret_text(40, b"ABC");
        assert_eq!(first.len(), 40);
        assert!(first.bytes().all(|byte| b"ABC".contains(&byte)));
        assert_ne!(first, secret_text(40, b"ABC"));
        assert_eq!(random_hex(4).len(), 8);
    }
}
