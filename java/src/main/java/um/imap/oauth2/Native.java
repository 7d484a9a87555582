package um.imap.oauth2;

/**
 * The native methods; {@code src/jni/mod.rs} has the other end, and {@code tests/exports.rs} compares the two.
 *
 * <p>A mailbox is a number that no other mailbox ever had: one that is closed, or was never given, is a failure of kind
 * {@code CLOSED} and nothing worse. Every method throws {@link MailboxException}, and no other exception but an
 * {@link OutOfMemoryError} where the Java heap has no room for what it returns, and a {@link StackOverflowError} where the thread's
 * stack has none. {@link NativeLibrary#load} comes before the first call.
 */
final class Native {
    private Native() {
    }

    /** The library's version, which must be the jar's. */
    static native String version();

    /** The platform that the library was built for, as Rust names it: {@code x86_64-unknown-linux-gnu}. */
    static native String target();

    /**
     * Looks up the JVM's classes that are needed to throw exceptions, so that no later call has to. It needs much stack, and a
     * context class loader that works.
     */
    static native void prepare();

    /**
     * From now on these issuers (DER) are trusted, by each mailbox that has not connected yet; before, nobody is.
     *
     * @param issuers null: they cannot be read, and no such mailbox can connect
     * @param problem why not, or null
     */
    static native void trust(byte[][] issuers, String problem);

    /**
     * From now on mailboxes are opened with these: the values of {@code https.proxyHost}, {@code https.proxyPort} and
     * {@code http.nonProxyHosts}, each of which may be null.
     */
    static native void proxy(String host, String port, String exceptions);

    /** From now on mailboxes are opened with this language (ISO 639) where {@code cmsbs.lang} is not set. */
    static native void language(String name);

    /** Each key to ask the settings for. {@code listener} may be null. */
    static native String[] keys(String listener);

    /**
     * Opens a mailbox, without the network.
     *
     * @param listener null: the primary mailbox
     * @param keysAndValues key, value, key, value, without the keys that have no value
     * @param workDirectory as {@link PathOctets} writes it; null: what is configured
     * @return its number
     */
    static native long openSettings(String listener, String[] keysAndValues, byte[] workDirectory);

    /** As {@link #openSettings}, from UM's files. */
    static native long openUmHome(byte[] umHome, String listener, byte[] workDirectory);

    /**
     * Hands over the settings, asked anew after a call failed.
     *
     * @return whether the credential is another one than was refused, so that the call is worth repeating
     */
    static native boolean renewBySettings(long mailbox, String listener, String[] keysAndValues);

    /** As {@link #renewBySettings}, from UM's files. */
    static native boolean renewByUmHome(long mailbox, byte[] umHome, String listener);

    /** What the mailbox is called in the ids of its mails. */
    static native String name(long mailbox);

    /** Connects, logs in and searches; ends the fetch before it. Returns the number of this fetch. */
    static native long fetch(long mailbox);

    /**
     * Waits for the next mail.
     *
     * @param numbers is given UIDVALIDITY, UID, when it was received (milliseconds since 1970 or {@link Long#MIN_VALUE}),
     *     and for a large mail, which is in a file, the file's number and its length; else two zeros
     * @param flags its only element is given the flags, separated by blanks, if there are any
     * @return its octets, none for one in a file; null: there is no mail any more
     */
    static native byte[] next(long mailbox, long fetch, long[] numbers, String[] flags);

    /**
     * Reads a large mail.
     *
     * @param file the file's number, which {@link #next} gave
     * @return how many octets were read into {@code buffer} from {@code offset} on, at most {@code length}; 0: the end
     */
    static native int read(long file, long position, byte[] buffer, int offset, int length);

    /** The file of a large mail is not needed any more. A number of no file is none to complain of. */
    static native void release(long file);

    /** False: it was settled before. {@code outcome} is the ordinal of an {@link Outcome}. */
    static native boolean settle(long mailbox, long uidValidity, long uid, int outcome);

    /** As {@link #settle}. */
    static native boolean move(long mailbox, long uidValidity, long uid, String folder);

    /** As {@link #settle}. */
    static native boolean delete(long mailbox, long uidValidity, long uid);

    /** Waits until the server has been told everything that was decided. */
    static native void flush(long mailbox);

    /**
     * How the mailbox is doing.
     *
     * @param numbers is given what the constructor of {@link Health} takes
     * @return {@link MailboxException}s: the failure of the last fetch or null, and the warnings
     */
    static native Throwable[] health(long mailbox, long[] numbers);

    /**
     * Tests the mailbox step by step; changes nothing.
     *
     * @param unread null, or why the configuration could not be read anew: what was observed, the key, cause, remedy and id, each
     *     empty where there is none
     * @param texts its only element is given what the constructor of {@link CheckReport} takes
     * @return for each step the {@link MailboxException} with which it failed, or null
     */
    static native Throwable[] check(long mailbox, String[] unread, String[][] texts);

    /** Ends every call that is under way. A number of no mailbox is none to complain of. */
    static native void close(long mailbox);

    /**
     * What the mailbox had to say since the last time: level, text, level, text; null: nothing. To be called once after
     * {@link #close}, which keeps the last words until then.
     */
    static native String[] log(long mailbox);
}
