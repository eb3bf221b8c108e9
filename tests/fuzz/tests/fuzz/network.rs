//! Datagrams of any length and content, through the check and the joining of frames that straddle them.

use shm_proto::scream::datagram::{Datagram, JOINED_BYTES, Straddle};

#[test]
fn no_datagrams_upset_the_joining_of_frames() {
    bolero::check!().for_each(|input: &[u8]| {
        let (mut straddle, mut out) = (Straddle::default(), vec![0; JOINED_BYTES]);
        // The first two bytes of each piece are its length: several datagrams in one input.
        let mut left = input;
        while let Some((length, rest)) = left.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length) % 2_048).min(rest.len());
            let (piece, next) = rest.split_at(length);
            left = next;
            let Ok(datagram) = Datagram::check(piece) else { continue };
            let frame = datagram.format().frame_bytes() as usize;
            assert!(datagram.quiet_samples_at_end() <= datagram.pcm().len());
            let joined = straddle.join(&datagram, &mut out);
            assert!(joined <= out.len() && joined.is_multiple_of(frame));
            straddle.lost(u64::from(piece[0]));
        }
    });
}
