//! The shipped model on messages nobody trained with: what an integrity office
//! gets must not be called spam, and what is plainly spam must not be called ham.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_spam_detection::domain::explain::shares;
use probity_spam_detection::domain::{Band, Classifier, Features, Form, Message, Model, Thresholds, Verdict};
use proptest::prelude::*;
use std::sync::LazyLock;

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(|| {
    let model = Model::shipped().unwrap();
    let training = *model.training();
    Classifier::new(model, Thresholds { ham_below: training.ham_below, spam_from: training.spam_from })
});

fn classify(text: &str) -> Verdict {
    CLASSIFIER.classify(text.as_bytes(), Form::Guess)
}

fn check(texts: &[&str], allowed: &[Band]) {
    let wrong: Vec<String> = texts
        .iter()
        .map(|text| (text, classify(text)))
        .filter(|(_, verdict)| !allowed.contains(&verdict.band))
        .map(|(text, verdict)| format!("{} — {text}", verdict.sentence(1)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const REPORTS: &[&str] = &[
    "I am a nurse in the district hospital. Since spring our head of purchasing buys infusion sets only from one \
     dealer, at 41 EUR instead of the 17 EUR we paid before. The dealer's owner is godfather of his daughter. \
     I have photographed four delivery slips. Please do not tell anybody that this came from me.",
    "To whom it may concern: on 4 May the building inspector, Mr Havel, told my father that the occupancy permit \
     would take two years, or two weeks for 3,000 euros. We paid nothing. My father's phone has the message.",
    "Hello. The mayor's cousin got the snow clearing contract without any tender, 286 000 per season. The lorries \
     have never left the depot this winter. Ask the drivers.",
    "The overtime sheets of the night shift are filled in by the foreman for people who are not there. He takes half \
     of the money from them in cash on pay day. This has been going on since at least 2021.",
    "URGENT!!! The evaluation committee for the IT project meets TOMORROW and the winner is already known. Company \
     Tessera gave Mr. K. a free holiday in Greece, I saw the tickets!",
    "Our finance director asked me to pay an invoice of $48,900 to a bank in Cyprus for advice nobody ever received. \
     When I asked for a report he told me to mind my own business. I can provide the payment order.",
    "sorry for my english. boss take passport from workers on construction and pay 4 euro hour, on paper is 12. \
     control was here and boss give them envelope. please help",
];

const BUSINESS: &[&str] = &[
    "From: Elena Marković <e.markovic@stonebridge.example>\nTo: accounts@city.example\nSubject: Invoice 2025-0417, \
     maintenance of lifts\nDate: Tue, 4 Mar 2025 09:12:44 +0100\nMessage-ID: <8f1@stonebridge.example>\n\nDear Ms \
     Olsen,\n\nplease find attached our invoice 2025-0417 over 12,480.00 EUR for the maintenance of the lifts in \
     the first quarter, payable within 30 days to the account you know.\n\nKind regards\nElena Marković\n",
    "From: bids@norrland-vatten.example\nTo: procurement@region.example\nCc: legal@norrland-vatten.example\nSubject: \
     Question on lot 2 of procedure 118/25\nDate: Mon, 13 Jan 2025 15:01:02 +0000\nMessage-ID: \
     <22@norrland-vatten.example>\n\nGood afternoon,\n\nannex C asks for references not older than three years, the \
     notice says five. Which of the two applies? Would a consortium have to prove turnover for each member?\n\nBest \
     regards,\nHenrik Lindqvist\n",
    "Subject: second reading of the draft budget\nColleagues, the committee takes the draft up again on Thursday at 10. \
     The gap in the road fund is down to 1.4 million. I will circulate the revised table tonight.",
    "Please be informed that the bid security of 25 000 PLN was returned to your account on 7 April, since the contract \
     with the selected contractor has been concluded. We thank you for taking part.",
    "Hi Joana, the supplier wants to invoice the crane separately (EUR 3,200). That is not in the purchase order. Shall \
     I reject it or do we make a change order? Paulo needs to know before noon.",
    "Dear Sirs, we refer to your letter of 12 August and regret that delivery of the 40 transformers will be three weeks \
     late owing to a strike at the port. The contractual penalty of 0.2% per day is acknowledged.",
    "Minutes, ethics board, 9 June. Item 1: gift of a bottle of wine (value about 60) from a contractor, to be returned. \
     Item 2: secondary employment of Mr Roth, approved with conditions. Item 3: any other business.",
    "Your application for a fishing licence was approved. The fee of 18.50 is payable at the counter or by transfer; \
     the licence will be posted to you when payment has arrived.",
];

const SPAM: &[&str] = &[
    "CONGRATULATIONS! Your email was selected in our monthly draw and you have won 850,000 USD! To claim your prize \
     contact the claims agent now with your full name and bank details. Act fast, offer expires!",
    "Cheap meds online!!! Viagra, Cialis and more, no prescription required. 80% off today only. Click here to order: \
     http://pills.example/buy",
    "WINNER! You have been awarded a 1000 cash prize. Call 09061234567 now to claim. 150p/min. Txt STOP to end.",
    "FREE entry in our weekly competition! Text WIN to 80085 now to get your free ringtone! 18+ T&Cs apply, £1.50/msg",
    "Make $5000 a week working from home! No experience needed, 100% guaranteed. Limited time offer, sign up now at \
     http://cash.example !!!",
    "Dear beloved, I am the widow of the late General Abacha. I have 25 million dollars deposited in a security \
     company and seek your assistance to transfer this fund. You will receive 30%. Reply urgently in confidence.",
];

#[test]
fn what_an_integrity_office_gets_is_never_called_spam() {
    check(REPORTS, &[Band::Ham, Band::Unsure]);
    check(BUSINESS, &[Band::Ham, Band::Unsure]);
    let all = REPORTS.iter().chain(BUSINESS);
    let ham = all.filter(|text| classify(text).band == Band::Ham).count();
    assert!(ham * 10 >= (REPORTS.len() + BUSINESS.len()) * 8, "only {ham} are ham");
}

#[test]
fn plain_spam_is_never_called_ham() {
    check(SPAM, &[Band::Spam, Band::Unsure]);
    let spam = SPAM.iter().filter(|text| classify(text).band == Band::Spam).count();
    assert!(spam * 10 >= SPAM.len() * 8, "only {spam} are spam");
}

#[test]
fn disguises_do_not_help() {
    let plain = classify("Cheap viagra and cialis online, no prescription, order now at http://x.example");
    for disguised in [
        "Cheap v\u{200B}iagra and cia\u{AD}lis online, no prescription, order now at http://x.example",
        "Cheap vi\u{0430}gra and ci\u{0430}lis online, no prescription, order now at http://x.example",
        "Cheap v1agra and c1alis online, no prescription, order now at http://x.example",
        "<html><body>Cheap vi<b></b>agra and cia<!-- x -->lis online, no prescription, order now at \
         <a href=http://x.example>http://x.example</a></body></html>",
    ] {
        let verdict = classify(disguised);
        assert!(
            verdict.probability > plain.probability - 0.15,
            "{} {}",
            plain.probability,
            verdict.sentence(1)
        );
    }
}

fn assert_explained(text: &str) {
    let message = Message::read(text.as_bytes(), Form::Guess);
    let features = Features::of(&message);
    let model = CLASSIFIER.model();
    let sum: f64 = shares(model, &features).iter().sum();
    let direct = model.log_odds(&features);
    assert!((model.intercept() + sum - direct).abs() < 1e-3, "{sum} {direct}");
    let verdict = classify(text);
    let odds = (verdict.probability / (1.0 - verdict.probability)).ln();
    assert!((odds - direct).abs() < 1e-3 || direct.abs() > 20.0, "{odds} {direct}");
    assert!(verdict.explanation.shares.len() <= 12);
    assert!(verdict.explanation.shares.windows(2).all(|p| p[0].weight.abs() >= p[1].weight.abs()));
    assert!(verdict.explanation.shares.iter().all(|s| s.token.contains(':') && s.weight.is_finite()));
}

#[test]
fn shares_add_up_to_the_log_odds() {
    for text in REPORTS.iter().chain(BUSINESS).chain(SPAM) {
        assert_explained(text);
    }
    assert_explained("");
    let tokens = classify(SPAM[0]).explanation.shares;
    assert!(tokens.iter().any(|s| s.token.starts_with("word:") && s.weight > 0.0), "{tokens:?}");
}

#[test]
fn an_explanation_is_a_sentence() {
    let sentence = classify(SPAM[0]).sentence(3);
    assert!(sentence.starts_with("spam: probability above 99.9% ("), "{sentence}");
    assert!(sentence.contains("of 3 documents") && sentence.contains("for spam speak"), "{sentence}");
}

#[test]
fn the_shipped_model_is_what_its_readme_says() {
    let training = CLASSIFIER.model().training();
    assert!(training.auc > 0.99 && training.false_positive_rate <= 0.002 && training.recall > 0.85);
    assert!(CLASSIFIER.model().weights() > 10_000);
}

#[test]
fn hostile_texts_end_soon() {
    for piece in ["a", "a ", "! ", "1,", "@", "http://", "é", "\u{0301}", "<b>", "a\n\n", "v.i.", "\u{430}a "]
    {
        let text = piece.repeat((1 << 20) / piece.len());
        let start = std::time::Instant::now();
        let verdict = CLASSIFIER.classify(text.as_bytes(), Form::Text);
        assert!(verdict.probability.is_finite());
        // Generous, for a debug build on a busy machine: quadratic work would take hours.
        assert!(start.elapsed().as_secs() < 60, "{piece:?} took {:?}", start.elapsed());
    }
}

proptest! {
    #[test]
    fn any_bytes_get_the_same_finite_answer_twice(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        form in prop_oneof![Just(Form::Mime), Just(Form::Text), Just(Form::Guess)],
    ) {
        let first = CLASSIFIER.classify(&bytes, form);
        prop_assert!((0.0..=1.0).contains(&first.probability));
        prop_assert_eq!(first, CLASSIFIER.classify(&bytes, form));
    }

    #[test]
    fn any_text_is_explained(text in "(\\PC|[ \n]|free |win |meeting |£500 |http://x.example ){0,60}") {
        assert_explained(&text);
    }
}
