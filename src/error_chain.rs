//! Formats an error with its causes.

/// An error and its causes on one line, with each text once: some libraries repeat the text of a cause, or
/// put a code before it.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error.to_string();
    let mut chain = last.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !chain.ends_with(&text) && !text.ends_with(&last) {
            chain.push_str(": ");
            chain.push_str(&text);
        }
        last = text;
        cause = error.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::error_chain;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> String {
        let link = |source, text: &&'static str| Some(Box::new(Link { text, source }));
        error_chain(&*texts.iter().rev().fold(None, link).expect("at least one"))
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        assert_eq!(
            chain(&["failed to commit", "full", "no space"]),
            "failed to commit: full: no space"
        );
        assert_eq!(chain(&["failed to commit: full", "full"]), "failed to commit: full");
        assert_eq!(chain(&["failed to commit", "full", "code 13: full"]), "failed to commit: full");
    }
}
