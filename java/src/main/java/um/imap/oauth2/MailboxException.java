package um.imap.oauth2;

import java.time.Duration;
import java.util.Optional;

/**
 * Says at which step something failed, what was observed, why, what to do about it, and whether trying again can help.
 *
 * <p>Nothing in it is secret: no token, secret, password or assertion, and nothing of a mail's content.
 *
 * <pre>{@code
 * try {
 *     for (BounceMessage mail : mailbox.fetch()) {
 *         mailbox.settle(mail, Outcome.HANDLED);
 *     }
 * } catch (MailboxException e) {
 *     if (e.kind() == MailboxException.Kind.CLOSED) {
 *         return;
 *     }
 *     log.warn(e.getMessage());                 // all of it in one paragraph
 *     if (!e.retryable()) {
 *         tellThePostmaster(e.causeText(), e.remedy());
 *     }
 * }
 * }</pre>
 */
public final class MailboxException extends RuntimeException {
    private static final long serialVersionUID = 1L;
    /** What an observed text can end with so that a sentence can follow: in step with {@code ENDS} in {@code src/failure.rs}. */
    static final String ENDS = ".!?:…";

    /**
     * What kind of failure it is, so that a program can react. Later versions can add constants.
     *
     * <pre>{@code
     * try {
     *     BounceMailbox mailbox = builder.open();
     * } catch (MailboxException e) {
     *     switch (e.kind()) {
     *         case LIBRARY:             // it cannot be loaded here
     *             readWithUmsOwnReader();
     *             break;
     *         case CONFIGURATION:
     *             tellThePostmaster(e.key().orElse(""), e.remedy());
     *             break;
     *         default:
     *             throw e;
     *     }
     * }
     * }</pre>
     */
    public enum Kind {
        /** A property is missing or wrong. */
        CONFIGURATION,
        /** The network or the other side did not answer, refused or cut the connection. */
        NETWORK,
        /** The other side's certificate or TLS version is not acceptable. */
        TLS,
        /** No access token: the credential, the application or its permission was refused. */
        TOKEN,
        /** The server refused the login, or the mailbox behind it. */
        LOGIN,
        /** The server refused a command. */
        REFUSED,
        /** The server asks to wait. */
        THROTTLED,
        /** The other side said something that the protocol does not allow, or more than the limits allow. */
        PROTOCOL,
        /** A limit on time was reached. */
        TIMEOUT,
        /** The mailbox is not the one any more in which a mail was read (its UIDVALIDITY changed). */
        STALE,
        /** Another reader has the mailbox. */
        BUSY,
        /** The mailbox was closed. */
        CLOSED,
        /** A call that makes no sense: a mail of another mailbox, a fetch that was ended by a newer one. */
        USAGE,
        /** A file or folder of the library's own could not be read or written. */
        STORAGE,
        /** A fault of the library; the mailbox has to be opened again. */
        INTERNAL,
        /** The native library could not be loaded. */
        LIBRARY
    }

    /** Where it failed. */
    private final String step;
    /** What kind of failure it is. */
    private final Kind kind;
    /** What was observed. */
    private final String observed;
    /** The property to look at, or null. */
    private final String key;
    /** The likely cause, in words. */
    private final String causeText;
    /** What to do about it. */
    private final String remedy;
    /** Whether trying again can help. */
    private final boolean retryable;
    /** How long to wait, or null. */
    private final Duration retryAfter;
    private final String id;

    /**
     * The native side calls this one, too: in step with {@code src/jni/exception.rs}.
     *
     * @param kind the name of a {@link Kind}
     * @param key may be null
     * @param retryAfterMillis negative: not known
     * @param id may be null
     * @param cause may be null
     */
    MailboxException(String step, String kind, String observed, String key, String causeText, String remedy,
            boolean retryable, long retryAfterMillis, String id, Throwable cause) {
        super(message(step, observed, key, causeText, remedy), cause);
        this.step = step;
        this.kind = Kind.valueOf(kind);
        this.observed = observed;
        this.key = key;
        this.causeText = causeText;
        this.remedy = remedy;
        this.retryable = retryable;
        this.retryAfter = retryAfterMillis < 0 ? null : Duration.ofMillis(retryAfterMillis);
        this.id = id;
    }

    static MailboxException usage(String observed) {
        return new MailboxException("call", Kind.USAGE.name(), observed, null, "", "", false, -1, null, null);
    }

    static MailboxException configuration(String key, String observed, String remedy, Throwable cause) {
        return new MailboxException("configuration", Kind.CONFIGURATION.name(), observed, key, "", remedy, false, -1,
                null, cause);
    }

    static MailboxException library(String observed, String causeText, String remedy, Throwable cause) {
        return new MailboxException("library", Kind.LIBRARY.name(), observed, null, causeText, remedy, false, -1,
                null, cause);
    }

    /**
     * The step at which it failed: {@code library}, {@code configuration}, {@code resolve}, {@code connect},
     * {@code proxy}, {@code tls}, {@code token}, {@code greeting}, {@code login}, {@code folders}, {@code select},
     * {@code search}, {@code fetch}, {@code settle}, {@code storage} or {@code call}.
     *
     * @return the step
     */
    public String step() {
        return step;
    }

    /**
     * What kind of failure it is.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    /**
     * What was observed: the other side's answer word for word, without secrets.
     *
     * @return what was observed
     */
    public String observed() {
        return observed;
    }

    /**
     * The property to look at, as it is written in the file: {@code cmsbs.mail.imap.server}.
     *
     * @return the property, where there is one to look at
     */
    public Optional<String> key() {
        return Optional.ofNullable(key);
    }

    /**
     * The likely cause, in words. (What {@link #getCause()} returns is the exception that led to this one.)
     *
     * @return the likely cause; empty where none is known
     */
    public String causeText() {
        return causeText;
    }

    /**
     * What to do about it.
     *
     * @return what to do about it; empty where nothing is known
     */
    public String remedy() {
        return remedy;
    }

    /**
     * Whether the same call can succeed later without anybody changing anything.
     *
     * @return whether trying again can help
     */
    public boolean retryable() {
        return retryable;
    }

    /**
     * How long to wait before trying again. (Not waiting does no harm: the library itself waits.)
     *
     * @return how long to wait, where the other side or the library said so
     */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /**
     * What it is called in the library's page on troubleshooting, for a program that looks for one cause in particular:
     * {@code imap-throttled}.
     *
     * @return its name there, where it is in it
     */
    public Optional<String> id() {
        return Optional.ofNullable(id);
    }

    /** In step with {@code Failure::may_be_the_credentials} in {@code src/failure.rs}. */
    boolean mayBeTheCredentials() {
        return kind == Kind.TOKEN || kind == Kind.LOGIN || kind == Kind.CONFIGURATION;
    }

    /** One line, as Rust's {@code Failure} writes it. */
    private static String message(String step, String observed, String key, String causeText, String remedy) {
        StringBuilder message = new StringBuilder(step).append(": ").append(joined(observed));
        boolean goesOn = !causeText.isEmpty() || !remedy.isEmpty();
        if (goesOn && !observed.isEmpty() && ENDS.indexOf(observed.charAt(observed.length() - 1)) < 0) {
            message.append('.');
        }
        if (key != null && !observed.contains(key)) {
            message.append(" [").append(key).append(']');
        }
        for (String sentence : new String[] {causeText, remedy}) {
            if (!sentence.isEmpty()) {
                message.append(' ').append(joined(sentence));
            }
        }
        return message.toString();
    }

    /** Writes the line ends between several lines so that a log gets one line. */
    private static String joined(String lines) {
        return lines.replace("\n", " / ");
    }
}
