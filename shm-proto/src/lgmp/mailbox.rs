//! A viewer's messages to the producer: short ones, through slots that all viewers of a queue share.

use super::Trouble;
use super::client::Client;
use super::queue::LOCK_TRIES;
use super::subscription::Subscription;
use crate::cycle;
use crate::guest::Guest;

/// Which message was sent; ask [`is_handled`] whether the producer has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailSerial(u32);

/// Puts `message` into the mailbox of the queue that `place` belongs to. Blocks for a bounded number of pauses.
///
/// # Errors
/// [`Trouble::MessageTooLong`], [`Trouble::MailboxFull`], [`Trouble::LockBusy`]: nothing was changed. Otherwise as
/// [`Subscription::peek`]; [`Trouble::Corrupt`] if the mailbox's own words cannot be.
pub fn send(client: &Client, place: &Subscription, message: &[u8]) -> Result<MailSerial, Trouble> {
    let (region, layout) = (client.region(), client.layout());
    let (config, mail) = (place.config(), &layout.mail);
    let (id, got) = (config.id, message.len() as u64);
    let length = u32::try_from(got).ok().filter(|_| got <= mail.data_bytes);
    let length = length.ok_or(Trouble::MessageTooLong { got, max: mail.data_bytes })?;
    place.check(client)?;
    let words = config.words(region, layout)?;
    let free = || -> Result<u32, Trouble> {
        let free = Guest::new(words.u32(layout.queue.mail_avail)?.load_acquire());
        match free.check("cMsgAvail", 0..=mail.slots)? {
            0 => Err(Trouble::MailboxFull { id }),
            free => Ok(free),
        }
    };
    free()?;
    words.touch()?;
    let _queue = match layout.manner.mails_locked {
        true => Some(words.try_lock(LOCK_TRIES)?.ok_or(Trouble::LockBusy { id })?),
        false => None,
    };
    let _mailbox = words.try_lock_mail(LOCK_TRIES)?.ok_or(Trouble::LockBusy { id })?;
    let free = free()?;
    let at = Guest::new(words.u32(layout.queue.mail_write_pos)?.load_acquire());
    let at = at.check("cMsgWPos", 0..=mail.slots - 1)?;
    let slot = words.mail_slot(at)?;
    slot.word::<u32>(mail.length)?.store_release(length);
    if let Some(at) = mail.sender {
        slot.word::<u32>(at)?.store_release(place.session().client_id);
    }
    slot.sub(mail.data, got)?.copy_from(message)?;
    words.u32(layout.queue.mail_write_pos)?.store_release(cycle::next(at, mail.slots));
    words.u32(layout.queue.mail_avail)?.store_release(free - 1);
    // Adding one wraps as the producer's counter does.
    let serial = words.u32(layout.queue.mail_write_serial)?.fetch_add(1).wrapping_add(1);
    Ok(MailSerial(serial))
}

/// Whether the producer has handled the message `serial` and all before it.
///
/// # Errors
/// As [`Subscription::peek`].
pub fn is_handled(client: &Client, place: &Subscription, serial: MailSerial) -> Result<bool, Trouble> {
    place.check(client)?;
    let words = place.config().words(client.region(), client.layout())?;
    let handled = words.u32(client.layout().queue.mail_read_serial)?.load_acquire();
    Ok(!cycle::is_newer(serial.0, handled))
}
