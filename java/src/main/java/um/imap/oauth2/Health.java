package um.imap.oauth2;

import java.time.Instant;
import java.time.LocalDate;
import java.util.List;
import java.util.Optional;

/**
 * How a mailbox is doing, at one moment.
 *
 * <pre>{@code
 * Health health = mailbox.health();
 * if (health.state() == Health.State.FAILING) {
 *     tellThePostmaster(health.mailbox() + " is not read since " + health.failingSince().get() + ": "
 *             + health.failure().get().getMessage());
 * }
 * for (MailboxException warning : health.warnings()) {
 *     log.warn(warning.getMessage());
 * }
 * }</pre>
 */
public final class Health {
    /**
     * The short form, for whoever only wants to know whether to look.
     *
     * <pre>{@code
     * boolean mailIsRead = mailbox.health().state() != Health.State.FAILING;
     * }</pre>
     */
    // In step with Grade in Rust.
    public enum State {
        /** Nothing is wrong, as far as it is known. */
        WELL,
        /** Mail is fetched, but something needs attention: see {@link Health#warnings()}. */
        WARNING,
        /** The last fetch failed: see {@link Health#failure()}. */
        FAILING
    }

    private final String mailbox;
    private final long[] numbers;
    private final MailboxException failure;
    private final List<MailboxException> warnings;

    /**
     * In step with {@code health} in {@code src/jni/mod.rs}.
     *
     * @param numbers the state's ordinal; then, {@link Long#MIN_VALUE} where there is none: last success (ms), failures,
     *     failing since (ms), throttled until (ms), pending, set aside, the credential's last day (since 1970)
     * @param failures the failure of the last fetch or null, and the warnings
     */
    Health(String mailbox, long[] numbers, Throwable[] failures) {
        this.mailbox = mailbox;
        this.numbers = numbers.clone();
        this.failure = (MailboxException) failures[0];
        MailboxException[] warnings = new MailboxException[failures.length - 1];
        System.arraycopy(failures, 1, warnings, 0, warnings.length);
        this.warnings = List.of(warnings);
    }

    /**
     * The mailbox that it is about: its user and its inbox.
     *
     * @return the mailbox
     */
    public String mailbox() {
        return mailbox;
    }

    /**
     * The short form of all the rest.
     *
     * @return how the mailbox is doing
     */
    public State state() {
        return State.values()[(int) numbers[0]];
    }

    /**
     * When the server last did what a fetch asked for.
     *
     * @return the time; empty: not since the JVM runs
     */
    public Optional<Instant> lastSuccess() {
        return instant(1);
    }

    /**
     * How many fetches in a row have failed.
     *
     * @return the number; 0 where the last one went well
     */
    public long failures() {
        return numbers[2];
    }

    /**
     * When the first of them failed.
     *
     * @return the time; empty where the last fetch went well
     */
    public Optional<Instant> failingSince() {
        return instant(3);
    }

    /**
     * How the last fetch failed.
     *
     * @return what was thrown; empty where it went well
     */
    public Optional<MailboxException> failure() {
        return Optional.ofNullable(failure);
    }

    /**
     * Until when the server has asked to be left alone. A fetch before that waits for at most a minute, and otherwise says
     * so in a {@link MailboxException} of kind {@link MailboxException.Kind#THROTTLED THROTTLED}.
     *
     * @return the time; empty where it has not
     */
    public Optional<Instant> throttledUntil() {
        return instant(4);
    }

    /**
     * How many settled mails the server was not told of yet, or refused.
     *
     * @return the number of mails
     */
    public long pending() {
        return numbers[5];
    }

    /**
     * How many mails of the last fetch could not be handed out: the server did not deliver them, or there was no room for
     * a temporary file. They are where they were.
     *
     * @return the number of mails
     */
    public long setAside() {
        return numbers[6];
    }

    /**
     * The last day on which the credential is good: the certificate's, or the secret's as
     * {@code cmsbs.mail.imap.oauth2.clientSecretExpires} states it.
     *
     * @return the day in UTC; empty where it is not known
     */
    public Optional<LocalDate> credentialEnds() {
        return numbers[7] == Long.MIN_VALUE ? Optional.empty() : Optional.of(LocalDate.ofEpochDay(numbers[7]));
    }

    /**
     * What else is wrong, the most urgent first: what the server refuses, what it cannot deliver, a credential that ends
     * within 30 days. Each says what to do about it.
     *
     * @return the warnings, none of which was thrown
     */
    public List<MailboxException> warnings() {
        return warnings;
    }

    /** The state and what there is to say, in one paragraph. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(mailbox).append(": ").append(state());
        failure().ifPresent(failure -> text.append(" since ").append(instant(3).orElse(null))
                .append(", ").append(failures()).append(" times: ").append(failure.getMessage()));
        warnings.forEach(warning -> text.append(' ').append(warning.getMessage()));
        return text.toString();
    }

    private Optional<Instant> instant(int index) {
        return numbers[index] == Long.MIN_VALUE ? Optional.empty() : Optional.of(Instant.ofEpochMilli(numbers[index]));
    }
}
