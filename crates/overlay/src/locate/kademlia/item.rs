//! Items (BEP 44): what their names are, and who has signed them.
//!
//! A name is the SHA-1 of the value, or of the signer's key and the salt. The signature (Ed25519) is of
//! these bytes, where the salt is left out if it is empty:
//!
//! ```text
//! 4:salt<length>:<salt>3:seqi<number>e1:v<value>
//! ```

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use nigh_base::{
    Key,
    bencode::{write_bytes, write_integer},
};

use super::krpc::{ITEM_MAX, Item, SALT_MAX, Signed};

impl Item {
    /// An item whose name is that of its value, so that it cannot be changed.
    pub const fn of(value: Bytes) -> Self {
        Self { value, signed: None }
    }

    /// An item that whoever has the `secret` can change: by one with a higher `number`. `value` is
    /// bencoded, at most [`ITEM_MAX`] bytes; `salt`, at most [`SALT_MAX`], tells the items of a key
    /// apart.
    pub fn sign(secret: &[u8; 32], salt: &[u8], number: i64, value: Bytes) -> Self {
        let secret = SigningKey::from_bytes(secret);
        let signature = secret.sign(&signed_bytes(salt, number, &value)).to_bytes();
        let key = secret.verifying_key().to_bytes();
        Self { value, signed: Some(Signed { key, number, salt: salt.into(), signature }) }
    }

    /// Whether value and salt are no longer than they may be.
    pub fn fits(&self) -> bool {
        let salt = self.signed.as_ref().map_or(0, |signed| signed.salt.len());
        self.value.len() <= ITEM_MAX && salt <= SALT_MAX
    }

    /// Under which name it is held. Of an answer, which has no salt, only with the salt put in.
    pub fn name(&self) -> Key {
        match &self.signed {
            None => Key::of(&self.value),
            Some(signed) => name_of(&signed.key, &signed.salt),
        }
    }

    /// Whether it is signed by whose key it has; an item that cannot be changed needs no signature.
    /// The dearest thing that a message asks for: check what costs less before it.
    pub fn is_genuine(&self) -> bool {
        let Some(signed) = &self.signed else { return true };
        let bytes = signed_bytes(&signed.salt, signed.number, &self.value);
        let signature = Signature::from_bytes(&signed.signature);
        VerifyingKey::from_bytes(&signed.key)
            .is_ok_and(|key| key.verify(&bytes, &signature).is_ok())
    }
}

/// The name of the items that are signed by `key` with `salt`.
pub fn name_of(key: &[u8; 32], salt: &[u8]) -> Key {
    Key::of(&[key, salt].concat())
}

/// What is signed.
fn signed_bytes(salt: &[u8], number: i64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48 + SALT_MAX + ITEM_MAX);
    if !salt.is_empty() {
        bytes.extend_from_slice(b"4:salt");
        write_bytes(salt, &mut bytes);
    }
    bytes.extend_from_slice(b"3:seq");
    write_integer(number, &mut bytes);
    bytes.extend_from_slice(b"1:v");
    bytes.extend_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"12:Hello World!";

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    fn vector(salt: &[u8], signature: &str) -> Item {
        let key = bytes("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548");
        let signed = Signed { key, number: 1, salt: salt.into(), signature: bytes(signature) };
        Item { value: Bytes::from_static(VALUE), signed: Some(signed) }
    }

    #[test]
    fn the_first_vector_of_bep_44_is_genuine() {
        assert_eq!(signed_bytes(b"", 1, VALUE), b"3:seqi1e1:v12:Hello World!");
        let item = vector(
            b"",
            "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
             1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
        );
        assert!(item.is_genuine());
        assert_eq!(item.name().to_string(), "4a533d47ec9c7d95b1ad75f576cffc641853b750");
    }

    #[test]
    fn the_second_vector_of_bep_44_is_genuine_with_its_salt() {
        let buffer = b"4:salt6:foobar3:seqi1e1:v12:Hello World!";
        assert_eq!(signed_bytes(b"foobar", 1, VALUE), buffer);
        let signature = "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                         df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08";
        let item = vector(b"foobar", signature);
        assert!(item.is_genuine());
        assert_eq!(item.name().to_string(), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        assert!(!vector(b"", signature).is_genuine());
    }

    #[test]
    fn the_third_vector_of_bep_44_has_its_name() {
        let item = Item::of(Bytes::from_static(VALUE));
        assert_eq!(item.name().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
        assert!(item.is_genuine());
    }

    #[test]
    fn who_has_the_secret_makes_items_and_nobody_else() {
        let secret = [7; 32];
        for salt in [&b""[..], b"a"] {
            let item = Item::sign(&secret, salt, 9, Bytes::from_static(VALUE));
            assert!(item.is_genuine());
            assert_eq!(item.name(), name_of(&item.signed.as_ref().unwrap().key, salt));
            let changed = |change: fn(&mut Item, &mut Signed)| {
                let mut item = item.clone();
                let mut signed = item.signed.take().unwrap();
                change(&mut item, &mut signed);
                Item { signed: Some(signed), ..item }
            };
            assert!(changed(|_, _| ()).is_genuine());
            assert!(!changed(|item, _| item.value = Bytes::from_static(b"0:")).is_genuine());
            assert!(!changed(|_, signed| signed.number += 1).is_genuine());
            assert!(!changed(|_, signed| signed.salt.push(b'b')).is_genuine());
            assert!(!changed(|_, signed| signed.signature[3] ^= 1).is_genuine());
            assert!(!changed(|_, signed| signed.key[3] ^= 1).is_genuine());
            // No point of the curve.
            assert!(!changed(|_, signed| signed.key = [0xff; 32]).is_genuine());
        }
    }
}
