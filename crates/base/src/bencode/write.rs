//! Values in the one form that BEP 3 gives them, appended to what is there.

/// Appends a byte string.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends what stands before a byte string of `length`; the caller appends the bytes.
pub fn write_length(length: usize, out: &mut Vec<u8>) {
    write_digits(length as u64, out);
    out.push(b':');
}

/// Appends an integer.
pub fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.push(b'i');
    if number < 0 {
        out.push(b'-');
    }
    write_digits(number.unsigned_abs(), out);
    out.push(b'e');
}

/// Appends a list of what `fill` appends: any number of values.
pub fn write_list(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'l');
    fill(out);
    out.push(b'e');
}

/// Appends a dictionary with what `fill` enters.
pub fn write_dictionary<'k>(out: &mut Vec<u8>, fill: impl FnOnce(&mut Entries<'_, 'k>)) {
    out.push(b'd');
    fill(&mut Entries { out, last: None });
    out.push(b'e');
}

/// Digits from the last to the first. A message has a dozen lengths, and `format!` is made for more
/// than numbers.
fn write_digits(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut place = digits.len();
    loop {
        place -= 1;
        digits[place] += u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[place..]);
        }
    }
}

/// A dictionary that is being written, key by key in the order of their bytes.
#[derive(Debug)]
pub struct Entries<'o, 'k> {
    out: &'o mut Vec<u8>,
    last: Option<&'k [u8]>,
}

impl<'k> Entries<'_, 'k> {
    /// Appends a key; the caller appends one value to what is given back.
    ///
    /// # Panics
    /// In debug builds, if the key does not lie behind the last one.
    pub fn key(&mut self, key: &'k (impl AsRef<[u8]> + ?Sized)) -> &mut Vec<u8> {
        let key = key.as_ref();
        debug_assert!(
            self.last.is_none_or(|last| last < key),
            "{} lies before the key that was written last",
            key.escape_ascii()
        );
        self.last = Some(key);
        write_bytes(key, self.out);
        self.out
    }

    /// Appends a key and a byte string. Panics as [`key`](Self::key).
    pub fn bytes(&mut self, key: &'k (impl AsRef<[u8]> + ?Sized), bytes: &[u8]) {
        write_bytes(bytes, self.key(key));
    }

    /// Appends a key and an integer. Panics as [`key`](Self::key).
    pub fn integer(&mut self, key: &'k (impl AsRef<[u8]> + ?Sized), number: i64) {
        write_integer(number, self.key(key));
    }
}
