package um.imap.oauth2;

import java.io.InputStream;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;

/**
 * One mail of a bounce mailbox: the octets that the server sent for it, unchanged, and what the server knows of it.
 *
 * <p>It is there as a whole: in memory or, if it is larger than half of {@code cmsbs.mail.imap.fetch.buffer}, in a temporary
 * file that nobody else can open. It stays usable after the mailbox was closed, until it is {@linkplain #close closed} or
 * forgotten. Any thread can use it.
 *
 * <pre>{@code
 * MimeMessage message = new MimeMessage(session, mail.inputStream());
 * Files.write(archive.resolve(mail.uidValidity() + "-" + mail.uid() + ".eml"), mail.bytes());
 * }</pre>
 */
public final class BounceMessage implements AutoCloseable {
    /** Stands for the mailbox, which a mail does not keep from being cleaned up. */
    private final Object mailbox;
    private final String id;
    private final MessageOctets octets;
    private final long uidValidity;
    private final long uid;
    private final Set<String> flags;
    private final Instant internalDate;

    BounceMessage(Object mailbox, String mailboxName, MessageOctets octets, long uidValidity, long uid,
            Set<String> flags, Instant internalDate) {
        this.mailbox = mailbox;
        this.id = mailboxName + ";UIDVALIDITY=" + uidValidity + ";UID=" + uid;
        this.octets = octets;
        this.uidValidity = uidValidity;
        this.uid = uid;
        this.flags = flags;
        this.internalDate = internalDate;
    }

    /**
     * The mail's octets. Each call returns a copy, which belongs to the caller; {@link #inputStream()} does without one.
     *
     * @return a copy of the octets
     * @throws java.io.UncheckedIOException if it is in a file that cannot be read, or was closed
     * @throws MailboxException if it is longer than an array can be, some 2<sup>31</sup> octets (USAGE)
     */
    public byte[] bytes() {
        return octets.bytes();
    }

    /**
     * The mail's octets from the beginning. Each call returns a new stream, without copying anything.
     *
     * @return a new stream over the octets
     */
    public InputStream inputStream() {
        return octets.inputStream();
    }

    /**
     * How long the mail is.
     *
     * @return the number of its octets
     */
    public long size() {
        return octets.size();
    }

    /**
     * Gives back the room that a large mail takes on the disk; a mail in memory stays as it is. Nobody has to call it: the
     * garbage collector does the same later. What is to become of the mail is not said by this.
     */
    @Override
    public void close() {
        octets.close();
    }

    /**
     * The mail's UID in its mailbox, from 1 to 2<sup>32</sup>-1.
     *
     * @return the UID
     */
    public long uid() {
        return uid;
    }

    /**
     * The UIDVALIDITY under which the UID is valid, from 1 to 2<sup>32</sup>-1.
     *
     * @return the UIDVALIDITY
     */
    public long uidValidity() {
        return uidValidity;
    }

    /**
     * The mail's flags when it was fetched, as the server writes them: {@code \Flagged}, {@code $Forwarded}.
     *
     * @return the flags, not modifiable
     */
    public Set<String> flags() {
        return flags;
    }

    /**
     * When the server received the mail (IMAP's INTERNALDATE), to the second.
     *
     * @return when it was received, unless the server said something unreadable
     */
    public Optional<Instant> internalDate() {
        return Optional.ofNullable(internalDate);
    }

    /**
     * Names this mail, and no other, for ever: mailbox, UIDVALIDITY and UID.
     *
     * @return such as {@code bounces@example.org/INBOX;UIDVALIDITY=55;UID=31}
     */
    public String id() {
        return id;
    }

    /** The {@link #id()}: nothing of the mail's content. */
    @Override
    public String toString() {
        return id;
    }

    boolean isOf(Object mailbox) {
        return this.mailbox == mailbox;
    }
}
