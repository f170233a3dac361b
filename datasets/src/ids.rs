//! The ids of the simulated site: which exist, who owns them, and how they are written.

use crate::line::push_number;
use crate::random::{mix, mix2};

/// The products' ids are consecutive from here.
pub(crate) const FIRST_PRODUCT: u64 = 100_001;
/// How many products there are.
pub(crate) const PRODUCTS: u64 = 20_000;
const STORES: u64 = 400;
const ORDERS: u64 = 5_000_000;
/// One account id in so many belongs to somebody who appears in the log.
const ACCOUNT_SPACING: u64 = 100;
const CATEGORIES: [&str; 8] = ["audio", "books", "garden", "kitchen", "lighting", "outdoor", "shoes", "toys"];
const WORDS: [&str; 12] = [
    "lamp",
    "desk",
    "headphones",
    "red+shoes",
    "coffee",
    "tent",
    "novel",
    "usb+cable",
    "bike",
    "puzzle",
    "rug",
    "jacket",
];

/// The ids that one page is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The visitor's own account.
    pub(crate) account: u64,
    /// Somebody else's account, seen in public.
    pub(crate) author: u64,
    pub(crate) product: u64,
    pub(crate) order: u64,
    /// A number of this look: the store, the page and the search follow from it.
    pub(crate) look: u64,
}

impl Ids {
    /// Appends a template, its placeholders filled.
    pub(crate) fn expand(&self, template: &str, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some((literal, tail)) = rest.split_once('{') {
            out.extend_from_slice(literal.as_bytes());
            let (name, after) = tail.split_once('}').unwrap_or((tail, ""));
            self.fill(name, out);
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
    }

    fn fill(&self, name: &str, out: &mut Vec<u8>) {
        match name {
            "product" | "account" | "author" | "order" | "store" | "retired" => {
                push_number(out, self.number(name));
            }
            // The first pages are read most.
            "page" => push_number(out, 1 + u64::from((self.look as u32).trailing_zeros().min(9))),
            "category" => out.extend_from_slice(pick(&CATEGORIES, mix2(1, self.look)).as_bytes()),
            "word" => out.extend_from_slice(pick(&WORDS, mix2(2, self.look)).as_bytes()),
            "basket" => {
                for item in 0..3 {
                    push_number(out, FIRST_PRODUCT + mix2(item, self.look) % PRODUCTS);
                    out.extend_from_slice(if item < 2 { b"," } else { b"" });
                }
            }
            "cart" => push_uuid(out, mix2(3, self.account)),
            "conversation" => push_uuid(out, mix2(4, self.account ^ (self.look % 4))),
            "shipment" => push_token(out, mix2(5, self.order)),
            _ => debug_assert!(false, "the catalogue has no ids named {name}"),
        }
    }

    /// The placeholders that are plain numbers.
    fn number(&self, name: &str) -> u64 {
        match name {
            "product" => self.product,
            "account" => self.account,
            "author" => self.author,
            "order" => self.order,
            "store" => 1 + self.look % STORES,
            // Below the products' ids: what old links still point to.
            "retired" => FIRST_PRODUCT - 1 - self.look % 9_000,
            _ => self.look,
        }
    }

    /// A number for what a template names first, 0 where it names nothing.
    pub(crate) fn of_object(&self, template: &str) -> u64 {
        template.split_once('{').and_then(|(_, tail)| tail.split_once('}')).map_or(0, |(name, _)| self.number(name))
    }
}

/// The account id of the simulated person `number`. Ids have gaps: one in a hundred is somebody who is ever seen, the others are asleep.
pub(crate) fn account_id(number: u64) -> u64 {
    number * ACCOUNT_SPACING + 1 + mix(number) % ACCOUNT_SPACING
}

/// Whether an account id belongs to somebody who is seen in the log, and so must exist.
pub(crate) fn is_active_account(id: u64) -> bool {
    id > 0 && account_id((id - 1) / ACCOUNT_SPACING) == id
}

/// The id of a person's order `nth`.
pub(crate) fn order_id(account: u64, nth: u64) -> u64 {
    1 + mix2(account, nth) % ORDERS
}

/// The id of the product of popularity `rank`, 1 the most popular: scattered over the ids.
pub(crate) fn product_of_rank(rank: u64) -> u64 {
    // 7,919 is prime and does not divide the number of products, so that no two ranks meet.
    FIRST_PRODUCT + rank * 7_919 % PRODUCTS
}

fn pick<'a>(list: &[&'a str], hash: u64) -> &'a str {
    list.get((hash % list.len().max(1) as u64) as usize).copied().unwrap_or_default()
}

/// A version 4 UUID that follows from a hash.
pub(crate) fn push_uuid(out: &mut Vec<u8>, hash: u64) {
    let value = (u128::from(hash) << 64) | u128::from(mix(hash));
    let value = (value & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    for nibble in (0..32).rev() {
        out.push(b"0123456789abcdef"[(value >> (nibble * 4)) as usize & 0xf]);
        if matches!(nibble, 24 | 20 | 16 | 12) {
            out.push(b'-');
        }
    }
}

/// A parcel's number: `SHP` and 13 letters and digits, the last of them always a digit.
pub(crate) fn push_token(out: &mut Vec<u8>, hash: u64) {
    out.extend_from_slice(b"SHP");
    for place in 0..12 {
        out.push(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(hash >> (place * 5)) as usize & 0x1f]);
    }
    out.push(b'0' + (hash >> 60) as u8 % 10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_look_like_ids() {
        let mut out = Vec::new();
        Ids { account: 7, order: 9, ..Ids::default() }.expand("{cart} {shipment}", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "e880a903-bcff-4547-8080-fc4b9f341341 SHPH67ZS6QPGYCF9");
    }

    #[test]
    fn ranks_are_a_permutation_of_the_products() {
        let ids: HashSet<u64> = (1..=PRODUCTS).map(product_of_rank).collect();
        assert_eq!(ids.len() as u64, PRODUCTS);
        assert!(ids.iter().all(|id| (FIRST_PRODUCT..FIRST_PRODUCT + PRODUCTS).contains(id)));
    }

    #[test]
    fn one_account_in_a_hundred_is_active() {
        assert!((0..5_000).all(|number| is_active_account(account_id(number))));
        assert_eq!((1..=500_000).filter(|&id| is_active_account(id)).count(), 5_000);
    }
}
