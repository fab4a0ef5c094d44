//! Made-up mail: ordinary correspondence with an office, and spam.

use super::dice::Dice;
use super::words::{self, COMPANIES, Company};
use super::{Expected, Item};
use crate::kind::Kind;
use std::fmt::Write as _;

const TOPICS: &[&str] = &[
    "Question about the delivery date",
    "Minutes of our meeting",
    "Revised site plan",
    "Invoice query",
    "Extension of the bid bond",
    "Access to the building site",
    "Request for a copy of the contract",
    "Change of our contact person",
];

const GREETINGS: &[&str] = &["Dear {},", "Hello {},", "Good morning {},", "Dear colleague,"];

const OPENINGS: &[&str] = &[
    "thank you for your letter of last week.",
    "I am writing about the works at {town}.",
    "as agreed on the telephone, here is where we stand.",
    "we have gone through the documents you sent on Monday.",
    "following the site visit in {town}, I have a short update.",
];

const SENTENCES: &[&str] = &[
    "The drawings for the second section are attached to the minutes and have been checked by our engineer.",
    "Could you let us know which entrance the delivery should use, and who will sign for it?",
    "Our supplier has confirmed that the remaining parts will arrive in the second half of the month.",
    "The insurance certificate was renewed and a copy is with the contracts office.",
    "Please note that the meeting on Thursday has been moved to the small conference room.",
    "We noticed that annex B still shows the old quantities; the corrected table is on page four.",
    "The inspection found no defects, apart from a loose railing that was fixed on the same day.",
    "If the new schedule suits the school, we would start after the holidays.",
    "The weekly report and the list of open points will follow on Friday as usual.",
    "Our accounts department would like to know which order number belongs on the invoice.",
];

const CLOSINGS: &[&str] = &["Kind regards", "Best regards", "Yours sincerely", "With thanks"];

const LURES: &[&str] = &[
    "CONGRATULATIONS! You have WON a cash prize of {sum} in our free weekly draw!!!",
    "URGENT: your account has been suspended. Verify your password within 24 hours or lose access!",
    "Get rich FAST: earn {sum} a week from home, no experience needed, 100% free!",
    "You have been selected to receive a FREE luxury holiday, claim your guaranteed prize now!",
    "Cheap meds online!!! Viagra and more at the lowest price, no prescription, order now!",
    "Lose weight in 10 days, guaranteed or your money back! Limited offer, buy now and save 70%!",
];

const HOOKS: &[&str] = &[
    "Click here now: http://{host}/claim?id={n}",
    "Call now to claim your prize, this offer expires today!",
    "Reply with your bank details and your credit card number to receive the cash.",
    "To stop receiving this offer, click here to unsubscribe: http://{host}/remove",
    "Act now! Limited time only! Free money is waiting for you, winner!",
    "Send your name, address and account number to claim. Text WIN to 80085 now. Free!",
];

const SHOUTS: &[&str] = &[
    "WINNER!! Claim your FREE cash prize now",
    "Urgent! Verify your account immediately $$$",
    "Free offer!!! Earn money fast, guaranteed",
    "You have WON!!! Click to claim",
    "Cheap viagra - lowest price - buy now!!!",
];

const HOSTS: &[&str] = &["free-prize-claim.example", "cash-winner-now.example", "cheap-deals-4u.example"];

/// A message with that number.
pub(super) fn item(mut dice: Dice, number: u64, spam: bool) -> Item {
    let (subject, text) = if spam { junk(&mut dice, number) } else { letter(&mut dice, number) };
    let mut expected = Expected { spam: Some(spam), ..Expected::default() };
    if spam {
        expected.planted.push("spam".to_owned());
    }
    Item {
        kind: Kind::Message,
        filename: format!("message-{number:03}.eml"),
        subject,
        bytes: text.replace('\n', "\r\n").into_bytes(),
        expected,
    }
}

fn letter(dice: &mut Dice, number: u64) -> (String, String) {
    let company = Company::of(dice.distinct(COMPANIES, 1).first().copied().unwrap_or_default());
    let (from, to) = (words::person(dice), words::person(dice));
    let town = dice.pick(words::TOWNS);
    let subject = format!("{}, {town}", dice.pick(TOPICS));
    let from_address = words::address(&from, &company.domain());
    let to_address = words::address(&to, "gov.verrania.example");
    let mut text = head(dice, number, &from, &from_address, &to_address, &subject, &company.domain());
    let _ = writeln!(text, "User-Agent: Postbote 4.2\n\n{}\n", dice.pick(GREETINGS).replace("{}", &to));
    let _ = writeln!(text, "{}", dice.pick(OPENINGS).replace("{town}", town));
    let count = usize::try_from(dice.between(2, 4)).unwrap_or(2);
    for sentence in dice.several(SENTENCES, count) {
        let _ = writeln!(text, "{sentence}");
    }
    let _ = writeln!(text, "\n{}\n{from}\n{}\n{}", dice.pick(CLOSINGS), company.name, company.telephone());
    (subject, text)
}

fn junk(dice: &mut Dice, number: u64) -> (String, String) {
    let host = dice.pick(HOSTS);
    let subject = dice.pick(SHOUTS).to_owned();
    let sender = format!("prize{}@{host}", dice.between(1_000, 9_999));
    let to = "undisclosed-recipients:;";
    let mut text = head(dice, number, "PRIZE DEPARTMENT", &sender, to, &subject, host);
    let _ = writeln!(text, "Precedence: bulk\nReply-To: claims{}@{host}\n", dice.between(10, 99));
    let sum = format!("${},000,000", dice.between(1, 9));
    for lure in dice.several(LURES, 3) {
        let _ = writeln!(text, "{}\n", lure.replace("{sum}", &sum));
    }
    for hook in dice.several(HOOKS, 3) {
        let _ = writeln!(text, "{}", hook.replace("{host}", host).replace("{n}", &number.to_string()));
    }
    (subject, text)
}

fn head(dice: &mut Dice, number: u64, name: &str, from: &str, to: &str, subject: &str, host: &str) -> String {
    let day = dice.day().strftime("%a, %d %b %Y");
    let time = dice.time();
    let id = format!("{number:08x}.{:08x}", dice.between(0, 0xffff_ffff));
    format!(
        "From: {name} <{from}>\nTo: {to}\nSubject: {subject}\nDate: {day} {time} +0000\nMessage-ID: <{id}@{host}>\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
    )
}
