//! Reads filter patterns letter by letter. A pattern has at most 1024 characters, so nesting needs no
//! other bound.

use super::Reason;
use super::expression::{Comparison, Constant, Expression, Selector, Step, Test};

type Parsed<T> = Result<T, Reason>;

/// A pattern and how far it has been read.
pub struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next letter, blanks or not.
    pub fn peek_raw(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next letter after blanks.
    pub fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.peek_raw()
    }

    /// Passes one letter.
    pub fn advance(&mut self) {
        self.at += self.peek_raw().map_or(0, char::len_utf8);
    }

    /// How many letters have been read.
    pub fn place(&self) -> usize {
        self.text[..self.at].chars().count()
    }

    /// Passes `token` when it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(&format!("'{token}'"))) }
    }

    fn wrong(&self, expected: &str) -> Reason {
        Reason::Other(format!("expected {expected} at character {}", self.place() + 1))
    }

    /// Letters as long as they are wanted.
    pub fn word(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|letter| !wanted(letter)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    /// A text in double quotes, in which a backslash takes the next letter as it is.
    pub fn quoted(&mut self) -> Parsed<String> {
        self.advance();
        let mut text = String::new();
        loop {
            match self.peek_raw() {
                None => return Err(Reason::Other("a quotation mark is missing".into())),
                Some('"') => {
                    self.advance();
                    return Ok(text);
                }
                Some('\\') => self.advance(),
                Some(_) => {}
            }
            text.extend(self.peek_raw());
            self.advance();
        }
    }

    /// `{ expression }`
    pub fn json(mut self) -> Parsed<Expression> {
        self.expect("{")?;
        let expression = self.any(&Self::member)?;
        self.expect("}")?;
        match self.peek() {
            None => Ok(expression),
            Some(_) => Err(self.wrong("the end")),
        }
    }

    /// Conditions joined by `||`; `&&` binds tighter.
    pub fn any(&mut self, one: &dyn Fn(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        let mut parts = vec![self.all(one)?];
        while self.take("||") {
            parts.push(self.all(one)?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self, one: &dyn Fn(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        let mut parts = Vec::new();
        loop {
            if self.take("(") {
                parts.push(self.any(one)?);
                self.expect(")")?;
            } else {
                parts.push(one(self)?);
            }
            if !self.take("&&") {
                return Ok(Expression::All(parts));
            }
        }
    }

    /// A condition on one member: `$.a.b[0] = x`.
    fn member(&mut self) -> Parsed<Expression> {
        self.expect("$")?;
        let mut selector = Selector::new();
        loop {
            if self.rest().starts_with('.') {
                self.advance();
                let name = self.word(|letter| letter.is_alphanumeric() || "-_@/:".contains(letter));
                if name.is_empty() {
                    return Err(self.wrong("a member's name"));
                }
                selector.push(Step::Name(name));
            } else if self.rest().starts_with('[') {
                self.advance();
                let place = self.word(|letter| letter.is_ascii_digit());
                selector.push(Step::Place(place.parse().map_err(|_| self.wrong("the place of an item"))?));
                self.expect("]")?;
            } else {
                break;
            }
        }
        if selector.is_empty() {
            return Err(self.wrong("a member such as $.name"));
        }
        Ok(Expression::Member(selector, self.test()?))
    }

    fn test(&mut self) -> Parsed<Test> {
        if self.take("NOT") {
            self.expect("EXISTS")?;
            return Ok(Test::Absent);
        }
        if self.take("IS") {
            return match (self.take("NULL"), self.take("TRUE"), self.take("FALSE")) {
                (true, ..) => Ok(Test::IsNull),
                (_, true, _) => Ok(Test::Is(true)),
                (_, _, true) => Ok(Test::Is(false)),
                _ => Err(self.wrong("NULL, TRUE or FALSE")),
            };
        }
        let comparison = self.comparison()?;
        Ok(Test::Compare(comparison, self.constant()?))
    }

    /// One of `=`, `!=`, `<`, `<=`, `>`, `>=`.
    pub fn comparison(&mut self) -> Parsed<Comparison> {
        for (token, comparison) in [
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.take(token) {
                return Ok(comparison);
            }
        }
        Err(self.wrong("a comparison such as ="))
    }

    /// A quoted text, a bare word or a number.
    pub fn constant(&mut self) -> Parsed<Constant> {
        match self.peek() {
            Some('"') => Ok(Constant { text: self.quoted()?, number: None }),
            Some('%') => Err(Reason::Regex),
            _ => {
                let text = self.word(|letter| !letter.is_whitespace() && !"(){}[]&|,\"".contains(letter));
                if text.is_empty() {
                    return Err(self.wrong("a value"));
                }
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                Ok(Constant { text, number })
            }
        }
    }
}
