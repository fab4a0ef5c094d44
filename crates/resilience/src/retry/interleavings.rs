//! Every interleaving of the tokens of a budget, tried by loom.

use loom::sync::Arc;
use loom::thread;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
}

#[allow(clippy::duplicate_mod)] // the same lines over other atomics: that is the point
#[path = "tokens.rs"]
mod tokens;

use tokens::{TOKEN, Tokens};

#[test]
fn no_token_is_lost_or_made_up() {
    loom::model(|| {
        let tokens = Arc::new(Tokens::new(4 * TOKEN, 100));
        let other = {
            let tokens = tokens.clone();
            thread::spawn(move || {
                tokens.take();
                tokens.put();
            })
        };
        tokens.take();
        tokens.take();
        other.join().unwrap();
        assert_eq!(tokens.left(), TOKEN + 100);
        assert!(!tokens.more_than_half());
    });
}
