package um.imap.oauth2;

import java.lang.System.Logger.Level;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongPredicate;
import java.util.function.Supplier;

/**
 * A bounce mailbox of Universal Messenger, read by IMAP, with an access token by OAuth2 where that is configured.
 *
 * <pre>{@code
 * BounceMailbox mailbox = BounceMailbox.builder()
 *         .settings(config::get)              // UM's own effective configuration
 *         .listener("inbox_2")                // left out: the primary mailbox
 *         .open();                            // once; touches no network
 * // at every poll:
 * for (BounceMessage mail : mailbox.fetch()) {
 *     try {
 *         MimeMessage message = new MimeMessage(session, mail.inputStream());
 *         mailbox.settle(mail, classify(message));
 *     } catch (MessagingException e) {
 *         mailbox.settle(mail, Outcome.UNRECOGNISED);
 *     }
 * }
 * // at the end:
 * mailbox.close();
 * }</pre>
 *
 * <p><b>Nothing is lost.</b> A mail leaves the inbox only after {@link #settle}, {@link #move} or {@link #delete} was
 * called for it. The server is told in batches: at latest after a second, at {@link #flush}, at the end of a fetch and at
 * {@link #close}. A mail that was not settled, or was kept, comes again at the next {@link #fetch}, never in the same one.
 *
 * <p><b>Threads.</b> Every method can be called from any thread at any time. One fetch is under way for a mailbox: a newer
 * one ends it, and its iterator then throws a {@link MailboxException} of kind
 * {@link MailboxException.Kind#USAGE USAGE}. {@link #close} ends whatever call is under way in another thread, which
 * throws one of kind {@link MailboxException.Kind#CLOSED CLOSED}, as does every later call. Interrupting a thread does
 * not end a call; every wait has a limit. A call waits in native code: a virtual thread keeps its carrier thread meanwhile, in
 * any JDK, so let platform threads read mailboxes.
 *
 * <p><b>Failures</b> are {@link MailboxException}s; a {@code null} where none is allowed is a
 * {@link NullPointerException}. After one of kind {@link MailboxException.Kind#INTERNAL INTERNAL}, a fault of the library, close the
 * mailbox and open another one in its place: it may be of no use any more, and every further call fail. Where the Java heap has
 * no room for what a call returns, it throws an {@link OutOfMemoryError}, and near the end of a thread's stack a
 * {@link StackOverflowError}; a mail that was to be handed out then comes again at the next {@link #fetch}. A mailbox that was forgotten is closed by the garbage collector.
 */
public final class BounceMailbox implements AutoCloseable {
    static final Cleaner CLEANER = Cleaner.create();

    private final Handle handle;
    private final Cleaner.Cleanable cleanable;
    private final String name;
    private final BiConsumer<Level, String> log;
    private final Consumer<Health> onHealth;
    /** What the health function was told last. */
    private volatile Health.State told = Health.State.WELL;
    /** How often there was something to tell it since somebody began to. */
    private final AtomicInteger news = new AtomicInteger();
    private final LongPredicate renewal;

    /** {@code renewal} hands the mailbox of a number its configuration, read anew: whether its credential has changed. */
    private BounceMailbox(long number, BiConsumer<Level, String> log, Consumer<Health> onHealth, LongPredicate renewal) {
        this.handle = new Handle(number);
        this.cleanable = CLEANER.register(this, handle);
        this.log = log;
        this.onHealth = onHealth;
        this.renewal = renewal;
        try {
            this.name = Native.name(number);
            Log.drain(number, log);
        } catch (Throwable e) {
            // Nobody gets it who could.
            close();
            throw e;
        }
    }

    /**
     * Starts the description of a mailbox.
     *
     * @return a builder, which needs {@link Builder#settings(Function) settings} or a {@link Builder#umHome(Path) home}
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Connects, logs in, and looks for mail: unread mail, or all with {@code cmsbs.bounce.processAll = true}.
     *
     * <p>The mails come one after the other: {@link Iterator#hasNext()} waits for the next one while others are already
     * under way. It can be iterated over once. An iterator that is given up halfway costs nothing; what was not handed out
     * or not settled comes again at the next fetch. Ends the fetch before it.
     *
     * <pre>{@code
     * for (BounceMessage mail : mailbox.fetch()) {
     *     mailbox.settle(mail, Outcome.HANDLED);
     * }
     * }</pre>
     *
     * @return the mails, whose iterator throws {@link MailboxException}
     * @throws MailboxException if that fails, of any kind but LIBRARY
     */
    public Iterable<BounceMessage> fetch() {
        return new Fetch(call(() -> {
            NativeLibrary.INSTANCE.trust();
            return Native.fetch(handle.number);
        }));
    }

    /**
     * Says what a mail turned out to be, and so where it goes. Does not wait for the server.
     *
     * <pre>{@code
     * mailbox.settle(mail, Outcome.SOFTBOUNCE);
     * }</pre>
     *
     * @param mail a mail of this mailbox
     * @param outcome what it is
     * @return false if the mail was settled before; the first time counts
     * @throws MailboxException if the mail is of another mailbox (USAGE), the mailbox is closed (CLOSED) or is not the one
     *     any more in which the mail was read (STALE)
     */
    public boolean settle(BounceMessage mail, Outcome outcome) {
        Objects.requireNonNull(outcome, "outcome");
        ownMail(mail);
        return call(() -> Native.settle(handle.number, mail.uidValidity(), mail.uid(), outcome.ordinal()));
    }

    /**
     * Settles a mail by moving it to a folder, which is created if it is missing.
     *
     * <pre>{@code
     * mailbox.move(mail, "INBOX.checked.by.hand");
     * }</pre>
     *
     * @param mail a mail of this mailbox
     * @param folder the folder, written as in UM's properties: {@code .} separates levels
     * @return false if the mail was settled before; the first time counts
     * @throws MailboxException as {@link #settle}; also if there can be no such folder (USAGE): a level without a name, a control
     *     character, more than 500 characters, or the inbox itself
     */
    public boolean move(BounceMessage mail, String folder) {
        Objects.requireNonNull(folder, "folder");
        ownMail(mail);
        return call(() -> Native.move(handle.number, mail.uidValidity(), mail.uid(), folder));
    }

    /**
     * Settles a mail by deleting it.
     *
     * <pre>{@code
     * mailbox.delete(mail);
     * }</pre>
     *
     * @param mail a mail of this mailbox
     * @return false if the mail was settled before; the first time counts
     * @throws MailboxException as {@link #settle}
     */
    public boolean delete(BounceMessage mail) {
        ownMail(mail);
        return call(() -> Native.delete(handle.number, mail.uidValidity(), mail.uid()));
    }

    /**
     * Waits until the server has done everything that was decided.
     *
     * <pre>{@code
     * mailbox.flush();      // from here on no crash can bring a settled mail back
     * }</pre>
     *
     * @throws MailboxException if it could not be done
     */
    public void flush() {
        call(() -> {
            NativeLibrary.INSTANCE.trust();
            Native.flush(handle.number);
            return null;
        });
    }

    /**
     * Says how the mailbox is doing: since when it fails and why, whether the server throttles, what could not be settled or
     * handed out, when the credential ends. Touches no network.
     *
     * <pre>{@code
     * Health health = mailbox.health();
     * log.info(health.toString());
     * }</pre>
     *
     * @return how the mailbox is doing now
     * @throws MailboxException if the mailbox is closed (CLOSED)
     */
    public Health health() {
        return call(this::currentHealth);
    }

    /**
     * Tests the mailbox step by step, from its configuration to its folders, as the command line's {@code check} does. Reads
     * the configuration anew, of which it takes the credential, and fails at its first step where that is not possible any more. Has
     * connections of its own, asks for a token of its own, and changes nothing, neither on the server nor on the disk. Takes as
     * long as the servers do; {@link #close} ends it.
     *
     * <pre>{@code
     * CheckReport report = mailbox.check();
     * if (report.outcome() != CheckReport.Outcome.WELL) {
     *     log.warn(report.toString());
     * }
     * }</pre>
     *
     * @return what was found; a step that failed is part of it and throws nothing
     * @throws MailboxException if the mailbox is closed (CLOSED), or the JVM's trust store cannot be read (CONFIGURATION)
     */
    public CheckReport check() {
        String[] unread = unread();
        return call(() -> {
            NativeLibrary.INSTANCE.trust();
            String[][] texts = new String[1][];
            Throwable[] failures = Native.check(handle.number, unread, texts);
            return new CheckReport(texts[0], failures);
        });
    }

    /**
     * Tells the server what was decided, ends any call that is under way, and frees everything. Can be called from any
     * thread, and more than once; never throws. A mailbox that is closed stays closed.
     *
     * <p>It waits for the server for five seconds at most. A second call waits for the first one, so that the mailbox is closed
     * after each of them. An interrupted thread closes it all the same, and stays interrupted.
     *
     * <pre>{@code
     * try (BounceMailbox mailbox = BounceMailbox.builder().umHome(home).open()) {
     *     log.info(mailbox.check().toString());
     * }
     * }</pre>
     */
    @Override
    public void close() {
        handle.byItsUser = true;
        // Else the cleaner keeps it: it is to be closed by the next call, or at last when nobody has it any more.
        if (handle.close()) {
            cleanable.clean();
        }
        Log.drain(handle.number, log);
    }

    /** What the mailbox is called: its user and its inbox. */
    @Override
    public String toString() {
        return name;
    }

    /** Reads the configuration anew; returns null, or why that failed, as {@link Native#check} takes it. */
    private String[] unread() {
        try {
            renewal.test(handle.number);
            return null;
        } catch (MailboxException e) {
            if (e.kind() == MailboxException.Kind.CLOSED) {
                throw e;
            }
            return new String[] {e.observed(), e.key().orElse(""), e.causeText(), e.remedy(), e.id().orElse("")};
        }
    }

    private void ownMail(BounceMessage mail) {
        if (!mail.isOf(handle)) {
            throw MailboxException.usage(Texts.text("usage.otherMailbox", mail.id(), name));
        }
    }

    /**
     * Every native call goes through here: the mailbox is not cleaned up during it, its log is taken after it, and where the
     * credential was refused it is repeated once if there is another one by now.
     */
    private <T> T call(Supplier<T> nativeCall) {
        try {
            return nativeCall.get();
        } catch (MailboxException e) {
            if (e.mayBeTheCredentials() && renewed(e)) {
                return nativeCall.get();
            }
            throw e;
        } catch (UnsatisfiedLinkError e) {
            throw NativeLibrary.ofAnotherBuild(e);
        } finally {
            Log.drain(handle.number, log);
            if (onHealth != null) {
                tellOfHealth();
            }
            Reference.reachabilityFence(this);
        }
    }

    private boolean renewed(MailboxException refusal) {
        try {
            return renewal.test(handle.number);
        } catch (MailboxException e) {
            if (e.kind() == MailboxException.Kind.CLOSED) {
                throw e;
            }
            refusal.addSuppressed(e);
            return false;
        }
    }

    private Health currentHealth() {
        long[] numbers = new long[8];
        Throwable[] failures = Native.health(handle.number, numbers);
        return new Health(name, numbers, failures);
    }

    /**
     * Never throws: a call's result is worth more. One thread tells, and looks again until there is nothing new; another one that
     * has seen something meanwhile leaves that to it. So the function is told one thing after the other, and at last what is true.
     */
    private void tellOfHealth() {
        if (news().isEmpty() || news.getAndIncrement() > 0) {
            return;
        }
        int known;
        do {
            known = news.get();
            for (Optional<Health> health = news(); health.isPresent(); health = news()) {
                told = health.get().state();
                try {
                    onHealth.accept(health.get());
                } catch (Throwable e) {
                    Log.log(Log.LIBRARY, Level.WARNING, Texts.text("log.healthFunction"), e);
                }
            }
        } while (!news.compareAndSet(known, 0));
    }

    /** The health, if the health function was told of another one. */
    private Optional<Health> news() {
        try {
            return Optional.of(currentHealth()).filter(health -> health.state() != told);
        } catch (MailboxException closed) {
            // Nobody is interested in the health of a closed mailbox.
        } catch (Throwable e) {
            Log.log(Log.LIBRARY, Level.WARNING, Texts.text("log.health"), e);
        }
        return Optional.empty();
    }

    /** What is left to do when nobody has the mailbox any more; it must not know the mailbox, nor its user's functions. */
    private static final class Handle implements Runnable {
        private final long number;
        private volatile boolean byItsUser;

        Handle(long number) {
            this.number = number;
        }

        @Override
        public void run() {
            close();
            if (!byItsUser) {
                Log.log(Log.MAILBOX, Level.WARNING, Texts.text("log.abandoned"), null);
                Log.drain(number, null);
            }
        }

        /** Whoever calls while another one closes waits for that, but not without end. */
        boolean close() {
            try {
                Native.close(number);
                return true;
            } catch (Throwable e) {
                // Neither close() nor the garbage collector has anybody to throw it at.
                Log.log(Log.LIBRARY, Level.WARNING, Texts.text("log.unclosed"), e);
                return false;
            }
        }
    }

    /**
     * One fetch, and its only iterator. No lock is held while the library or a function of the application runs: that may wait
     * for a thread that is here, too, or come here itself.
     */
    private final class Fetch implements Iterable<BounceMessage>, Iterator<BounceMessage> {
        private final long fetch;
        private final AtomicBoolean started = new AtomicBoolean();
        /** What was taken from the library, and is not handed out yet: a mail for each thread that is in a call at most. */
        private final Queue<BounceMessage> ready = new ConcurrentLinkedQueue<>();
        private volatile boolean ended;

        Fetch(long fetch) {
            this.fetch = fetch;
        }

        @Override
        public Iterator<BounceMessage> iterator() {
            if (started.getAndSet(true)) {
                throw MailboxException.usage(Texts.text("usage.iterated"));
            }
            return this;
        }

        @Override
        public boolean hasNext() {
            // The log function may have taken the mail, and so may another thread.
            while (ready.isEmpty()) {
                if (!taken()) {
                    return !ready.isEmpty();
                }
            }
            return true;
        }

        @Override
        public BounceMessage next() {
            BounceMessage mail = ready.poll();
            while (mail == null) {
                boolean taken = taken();
                mail = ready.poll();
                if (mail == null && !taken) {
                    throw new NoSuchElementException();
                }
            }
            return mail;
        }

        /** Waits for a mail; false: there is none any more. */
        private boolean taken() {
            return !ended && call(() -> {
                BounceMessage mail = nextMail();
                if (mail == null) {
                    ended = true;
                    return false;
                }
                ready.add(mail);
                return true;
            });
        }

        private BounceMessage nextMail() {
            long[] numbers = new long[5];
            String[] written = new String[1];
            byte[] octets = Native.next(handle.number, fetch, numbers, written);
            if (octets == null) {
                return null;
            }
            // First of all: from now on the file is closed, whatever else fails.
            MessageOctets content = numbers[3] == 0
                    ? new MessageOctets.InMemory(octets) : MessageOctets.inFile(numbers[3], numbers[4]);
            Set<String> flags = written[0] == null ? Set.of() : Set.copyOf(List.of(written[0].split(" ")));
            Instant internalDate = numbers[2] == Long.MIN_VALUE ? null : Instant.ofEpochMilli(numbers[2]);
            return new BounceMessage(handle, name, content, numbers[0], numbers[1], flags, internalDate);
        }
    }

    /**
     * Describes the mailbox to open. Needs {@link #settings(Function) settings} or a {@link #umHome home}.
     *
     * <pre>{@code
     * BounceMailbox mailbox = BounceMailbox.builder()
     *         .umHome(Path.of("/opt/um"))
     *         .log((level, text) -> logger.log(level, text))
     *         .onHealth(health -> tellThePostmaster(health.toString()))
     *         .open();
     * }</pre>
     *
     * <p>A builder is for one thread. It can open a mailbox more than once.
     */
    public static final class Builder {
        private Settings settings;
        private Path umHome;
        private String listener;
        private Path workDirectory;
        private BiConsumer<Level, String> log;
        private Consumer<Health> onHealth;

        private Builder() {
        }

        /**
         * Takes the configuration from UM's own.
         *
         * <pre>{@code
         * builder.settings(config::get);
         * }</pre>
         *
         * @param settings returns the value of a key such as {@code cmsbs.mail.imap.server}, or null; it is asked for each
         *     key that counts, and for {@code key$file} beside it, at every {@link #open} and again when a server has
         *     refused the credential, so that a new one is used without opening the mailbox again; by the threads that
         *     call the mailbox. The paths of files in values, such as {@code cmsbs.mail.imap.ssl.caFile}, are taken in UTF-8,
         *     whatever the JVM's locale
         * @return this builder
         */
        public Builder settings(Function<String, String> settings) {
            this.settings = new Settings(Objects.requireNonNull(settings, "settings"));
            return this;
        }

        /**
         * Takes the configuration from a map.
         *
         * <pre>{@code
         * Map<String, String> settings = new HashMap<>();
         * settings.put("cmsbs.mail.imap.server", "outlook.office365.com");
         * settings.put("cmsbs.mail.imap.user", "bounces@example.com");      // and so on
         * builder.settings(settings);
         * }</pre>
         *
         * @param settings from a key such as {@code cmsbs.mail.imap.server} to its value
         * @return this builder
         */
        public Builder settings(Map<String, String> settings) {
            return settings(Objects.requireNonNull(settings, "settings")::get);
        }

        /**
         * Reads the configuration from UM's files.
         *
         * <pre>{@code
         * builder.umHome(Path.of("/opt/um"));
         * }</pre>
         *
         * @param umHome the directory that holds {@code cmsbs-conf}
         * @return this builder
         */
        public Builder umHome(Path umHome) {
            this.umHome = Objects.requireNonNull(umHome, "umHome");
            return this;
        }

        /**
         * Takes a further mailbox instead of the primary one.
         *
         * @param listener its name in {@code cmsbs.bounce.listeners}; null: the primary mailbox
         * @return this builder
         */
        public Builder listener(String listener) {
            this.listener = listener;
            return this;
        }

        /**
         * Sets where files of the library's own lie. Left out: {@code cmsbs-work/um-imap-oauth2} in UM's home, where there
         * is a {@code cmsbs-work}.
         *
         * @param workDirectory a directory, which is created, and those above it
         * @return this builder
         */
        public Builder workDirectory(Path workDirectory) {
            this.workDirectory = Objects.requireNonNull(workDirectory, "workDirectory");
            return this;
        }

        /**
         * Takes what the mailbox has to say. Left out: the {@link System.Logger} {@code um.imap.oauth2.mailbox},
         * which is asked for its level once per call.
         *
         * <p>It is called by the threads that call the mailbox, at the end of a call, possibly by several at once. What it
         * throws is logged by the {@link System.Logger} {@code um.imap.oauth2.library}, and changes nothing in the call.
         *
         * <pre>{@code
         * builder.log((level, text) -> logger.log(level, text));
         * }</pre>
         *
         * @param log takes a level and a text
         * @return this builder
         */
        public Builder log(BiConsumer<Level, String> log) {
            this.log = Objects.requireNonNull(log, "log");
            return this;
        }

        /**
         * Takes the mailbox's health whenever its {@link Health#state() state} changes, for the worse or the better. At first
         * it is {@link Health.State#WELL WELL}.
         *
         * <p>It is called by the threads that call the mailbox, at the end of a call, also of one that fails; never by two of them
         * at once, so that what it was told last is how the mailbox is doing. What it throws is logged by the
         * {@link System.Logger} {@code um.imap.oauth2.library}, and changes nothing in the call.
         *
         * <pre>{@code
         * builder.onHealth(health -> tellThePostmaster(health.toString()));
         * }</pre>
         *
         * @param onHealth takes the health
         * @return this builder
         */
        public Builder onHealth(Consumer<Health> onHealth) {
            this.onHealth = Objects.requireNonNull(onHealth, "onHealth");
            return this;
        }

        /**
         * Opens the mailbox: loads the native library if that is not done yet, and reads the configuration. Touches no
         * network.
         *
         * @return the mailbox, to be {@linkplain BounceMailbox#close closed} at the end
         * @throws MailboxException if the native library cannot be loaded (LIBRARY) or a property is missing or wrong
         *     (CONFIGURATION), and if the builder was given neither settings nor a home, or both (USAGE)
         */
        public BounceMailbox open() {
            if ((settings == null) == (umHome == null)) {
                throw MailboxException.usage(Texts.text("usage.builder"));
            }
            Texts.speak(settings == null ? null : settings.ask("cmsbs.lang"));
            Path work = workDirectory != null ? workDirectory : configuredWorkDirectory();
            try {
                NativeLibrary.INSTANCE.load(work);
            } catch (MailboxException e) {
                throw e;
            } catch (RuntimeException | LinkageError e) {
                // Such as a security manager, which can forbid each step, down to reading a system property.
                Throwable why = e instanceof ExceptionInInitializerError ? e.getCause() : e;
                throw MailboxException.library(Texts.text("library.failed.observed", why), "",
                        why instanceof SecurityException ? Texts.text("library.security.remedy") : "", e);
            }
            try {
                return opened(work);
            } catch (UnsatisfiedLinkError e) {
                throw NativeLibrary.ofAnotherBuild(e);
            }
        }

        private BounceMailbox opened(Path work) {
            Native.proxy(System.getProperty("https.proxyHost"), System.getProperty("https.proxyPort"),
                    System.getProperty("http.nonProxyHosts"));
            Native.language(Locale.getDefault(Locale.Category.DISPLAY).getLanguage());
            byte[] octets = work == null ? null : PathOctets.of(work);
            // What the builder is told later is of another mailbox.
            String name = listener;
            if (settings != null) {
                Settings source = settings;
                long number = Native.openSettings(name, source.ask(Native.keys(name)), octets);
                return new BounceMailbox(number, log, onHealth,
                        open -> Native.renewBySettings(open, name, source.ask(Native.keys(name))));
            }
            byte[] home = PathOctets.of(umHome);
            long number = Native.openUmHome(home, name, octets);
            return new BounceMailbox(number, log, onHealth, open -> Native.renewByUmHome(open, home, name));
        }

        /** That which the native side would find, had it Java's way to write paths; null: none. */
        private Path configuredWorkDirectory() {
            Path home = umHome;
            if (settings != null) {
                String serverHome = settings.ask("cmsbs.server.home");
                try {
                    home = serverHome == null || serverHome.isEmpty() ? null : Path.of(serverHome);
                } catch (InvalidPathException e) {
                    // The native side has no such difficulty.
                    return null;
                }
            }
            Path work = home == null ? null : home.resolve("cmsbs-work");
            return work != null && Files.isDirectory(work) ? work.resolve("um-imap-oauth2") : null;
        }
    }
}
