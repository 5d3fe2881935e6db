//! A node of the crate mainline that does one thing: dht.sh says what.
//!
//! ```text
//! mainline serve ADDR:PORT VIA                          is a node until it is killed; VIA may be -, for nobody
//! mainline peers ADDR:PORT VIA INFO_HASH                prints peers, one a line
//! mainline announce ADDR:PORT VIA INFO_HASH PORT
//! mainline get ADDR:PORT VIA NAME                       prints the value
//! mainline put ADDR:PORT VIA VALUE                      prints the name
//! mainline get-signed ADDR:PORT VIA KEY SALT            prints number and value
//! mainline put-signed ADDR:PORT VIA SECRET SALT NUMBER VALUE
//! ```
#![expect(deprecated, reason = "a program that does one thing waits for it")]

use std::{env, error::Error, net::SocketAddrV4, thread, time::Duration};

use mainline::{Dht, Id, MutableItem, SigningKey};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [verb, listen, via, about @ ..] = &words[..] else { return Err("see main.rs".into()) };
    let listen: SocketAddrV4 = listen.parse()?;
    let mut builder = Dht::builder();
    let is_alone = *via == "-";
    builder.bind_address(*listen.ip()).port(listen.port());
    if is_alone {
        builder.no_bootstrap();
    } else {
        builder.bootstrap(&[via]);
    }
    if *verb == "serve" {
        builder.server_mode();
    }
    let dht = builder.build()?;
    if !is_alone && !dht.bootstrapped() {
        return Err("nobody has answered".into());
    }
    match (*verb, about) {
        ("serve", []) => {
            println!("ready");
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        }
        ("peers", [info_hash]) => {
            let mut peers: Vec<SocketAddrV4> =
                dht.get_peers(info_hash.parse()?).flatten().collect();
            peers.sort_unstable();
            peers.dedup();
            for peer in peers {
                println!("{peer}");
            }
        }
        ("announce", [info_hash, port]) => {
            dht.announce_peer(info_hash.parse()?, Some(port.parse()?))?;
        }
        ("get", [name]) => {
            let value = dht.get_immutable(name.parse::<Id>()?).ok_or("nothing is held")?;
            println!("{}", str::from_utf8(&value)?);
        }
        ("put", [value]) => println!("{}", dht.put_immutable(value.as_bytes())?),
        ("get-signed", [key, salt]) => {
            let item = dht.get_mutable_most_recent(&bytes(key)?, salted(salt));
            let item = item.ok_or("nothing is held")?;
            println!("{} {}", item.seq(), str::from_utf8(item.value())?);
        }
        ("put-signed", [secret, salt, number, value]) => {
            let secret = SigningKey::from_bytes(&bytes(secret)?);
            let item = MutableItem::new(secret, value.as_bytes(), number.parse()?, salted(salt));
            println!("{}", dht.put_mutable(item, None)?);
        }
        _ => return Err("see main.rs".into()),
    }
    Ok(())
}

fn salted(salt: &str) -> Option<&[u8]> {
    Some(salt.as_bytes()).filter(|it| !it.is_empty())
}

/// 32 bytes in hexadecimal digits.
fn bytes(digits: &str) -> Result<[u8; 32], Box<dyn Error>> {
    if digits.len() != 64 || !digits.is_ascii() {
        return Err("32 bytes in hexadecimal digits are needed".into());
    }
    let mut bytes = [0; 32];
    for (at, place) in bytes.iter_mut().enumerate() {
        *place = u8::from_str_radix(&digits[2 * at..][..2], 16)?;
    }
    Ok(bytes)
}
