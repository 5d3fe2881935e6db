//! What a lookup carries, and its form in bytes. Nodes of Koorde say nothing else that others do not say.

use nigh_base::{
    Key,
    wire::{Reader, Wire, WireError},
};

use super::imaginary::Imaginary;
use crate::locate::{
    codec::{Nonce, maybe, option},
    node::geometry::{self, Silence},
};

/// What a lookup takes from node to node: 0 if it has yet to begin, or 1, the key of an imaginary node, and
/// how many digits are left in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Carry(pub Option<Imaginary>);

impl Wire for Carry {
    const MAX: usize = 1 + Imaginary::MAX;

    fn write(&self, out: &mut Vec<u8>) {
        option(self.0.as_ref(), out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        maybe(reader, Imaginary::read).map(Self)
    }
}

impl Wire for Imaginary {
    const MAX: usize = Key::BYTES + 1;

    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        out.push(self.left);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { key: Key::read(reader)?, left: reader.u8()? })
    }
}

/// Nodes around k times the own key: a leaf set there names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Around;

impl geometry::Errand for Around {
    fn attempts(&self) -> u32 {
        2
    }

    fn is_upkeep(&self) -> bool {
        true
    }

    fn silence(&self) -> Silence {
        Silence::Doubtful
    }
}

/// Words that only nodes of Koorde know: there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {}

impl geometry::Words for Words {
    const VERSION: u8 = 19;

    fn asks(&self) -> Option<Nonce> {
        match *self {}
    }

    fn answers(&self) -> Option<Nonce> {
        match *self {}
    }
}

impl Wire for Words {
    const MAX: usize = 0;

    fn write(&self, _: &mut Vec<u8>) {
        match *self {}
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Err(WireError::Unknown { what: "words of Koorde", tag: reader.u8()? })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locate::{
        Contact,
        circle::message::{Words as OfCircle, tests::examples},
        codec::{CONTACTS_MAX, tests::contact},
        koorde,
        node::message::{Body, Message, STEPS_MAX, tests::have_one_form},
    };

    pub(in crate::locate::koorde) fn all() -> Vec<Message<koorde::Geometry>> {
        let imaginary = Imaginary { key: Key::of(b"imaginary"), left: 12 };
        let begun = examples(Carry(Some(imaginary)), Vec::new());
        begun.into_iter().chain(examples(Carry(None), Vec::new())).collect()
    }

    #[test]
    fn every_message_has_one_form_and_passes_every_link() {
        let contacts = vec![contact(1); CONTACTS_MAX];
        have_one_form(&all(), vec![OfCircle::LeavesAre { nonce: 1, contacts }]);
        // The longest list of steps.
        let carry = Carry(Some(Imaginary { key: Key::MAX, left: 255 }));
        let step = geometry::Step { contact: Contact { key: Key::MAX, ..contact(1) }, carry };
        let body = Body::Closer { nonce: u64::MAX, steps: vec![step; STEPS_MAX] };
        let longest = Message::<koorde::Geometry> { from: Some(Key::MAX), body };
        assert!(longest.encode().len() <= Message::<koorde::Geometry>::MAX);
    }

    #[test]
    fn words_about_far_links_are_refused() {
        let mut written = all()[0].encode();
        let head = 1 + usize::from(written[1] == 1) * Key::BYTES + 1;
        written.truncate(head);
        // What one overlay alone says, about far links.
        written.extend([16, 3, 0]);
        let refused = WireError::Unknown { what: "words of Koorde", tag: 0 };
        assert_eq!(Message::<koorde::Geometry>::decode(&written), Err(refused));
    }
}
