package um.imap.oauth2;

import java.io.IOException;
import java.io.InputStream;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.atomic.LongAdder;

/**
 * The program of {@link StormTest}: whatever can be called, in any order, from many threads, on mailboxes that are open, closed,
 * being closed, forgotten or were never there, with what belongs to others and with nothing. Arguments: a directory for its files
 * and how many calls.
 */
final class Storm {
    static final int THREADS = 32;
    private static final int USERS = 12;
    private static final int OPEN = 24;
    private static final String[] FOLDERS = {"storm", "a.b", "", " ", "INBOX", ".", "..", "\0", "\ud800", "\r\nA1 LOGOUT",
        "x".repeat(5_000), "Sp\u00e4m"};

    private final List<BounceMailbox.Builder> builders = new ArrayList<>();
    private final AtomicReferenceArray<BounceMailbox> mailboxes = new AtomicReferenceArray<>(OPEN);
    private final AtomicReferenceArray<Of<Iterator<BounceMessage>>> fetches = new AtomicReferenceArray<>(OPEN);
    private final AtomicReferenceArray<Of<BounceMessage>> mails = new AtomicReferenceArray<>(256);
    private final AtomicLong calls;
    private final Map<String, LongAdder> results = new ConcurrentSkipListMap<>();

    private Storm(Standin standin, long calls) {
        this.calls = new AtomicLong(calls);
        for (int i = 0; i < USERS; i++) {
            Map<String, String> settings = standin.settings(user(i));
            // A large mail goes to a file then.
            settings.put("cmsbs.mail.imap.fetch.buffer", i % 2 == 0 ? "1048576" : "8388608");
            builders.add(BounceMailbox.builder().settings(settings).log(Storm::ignore).onHealth(Health::toString));
        }
        // Nobody listens there, and this user has no mailbox.
        Map<String, String> nobody = standin.settings(user(0));
        nobody.put("cmsbs.mail.imap.port", "1");
        builders.add(BounceMailbox.builder().settings(nobody).log(Storm::ignore));
        builders.add(BounceMailbox.builder().settings(standin.settings("nobody@example.com")).log(Storm::ignore));
    }

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        StringBuilder scenario = new StringBuilder();
        for (int i = 0; i < USERS; i++) {
            scenario.append(i == 0 ? "" : ", ").append(Standin.mailbox(user(i), 5_000).replace("\"large_every\": 0, \"large_size\": 0", "\"large_every\": 200, \"large_size\": 600000"));
        }
        // Connections are cut and stall in the storm.
        String text = Standin.of(scenario.toString(), "{\"on\": \"UID FETCH\", \"nth\": 50, \"times\": 10, \"do\": [\"cut\"]},"
                + "{\"on\": \"UID MOVE\", \"nth\": 70, \"times\": 10, \"do\": [\"carry_out\", \"cut\"]},"
                + "{\"on\": \"connect\", \"nth\": 30, \"times\": 10, \"do\": [\"reset\"]}");
        StringBuilder report = new StringBuilder();
        long started = System.nanoTime();
        try (Standin standin = new Standin(directory, text)) {
            try (BounceMailbox first = BounceMailbox.builder().settings(standin.settings(user(0))).open()) {
                // The JVM opens files, and keeps them, when it is asked whom it trusts.
                first.flush();
            }
            int descriptors = Vitals.descriptors();
            Storm storm = new Storm(standin, Long.parseLong(arguments[1]));
            int references = Vitals.references();
            storm.run();
            // Forgotten mailboxes are a matter of the garbage collector.
            Vitals.await("at an end with every thread of a mailbox", () -> {
                System.gc();
                return Vitals.threads().isEmpty();
            });
            Vitals.await("at an end with every descriptor", () -> Vitals.descriptors() <= descriptors);
            int left = Vitals.references();
            // The JVM and the library keep some that they make once, such as those of classes.
            if (left > references + 20) {
                report.append("broken\t").append(references).append(" JNI references before, ").append(left).append(" after\n");
            }
            report.append("# ").append(TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - started)).append(" s, JNI references: ")
                    .append(references).append(", then ").append(left).append('\n');
            storm.results.forEach((result, times) -> report.append(times).append('\t').append(result).append('\n'));
        } catch (Throwable e) {
            report.append("broken\t").append(e);
        }
        Files.writeString(directory.resolve("report"), report);
    }

    private void run() throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            Thread thread = new Thread(this::calls, "storm-" + i);
            threads.add(thread);
            thread.start();
        }
        Random random = new Random();
        while (calls.get() > 0) {
            threads.get(random.nextInt(THREADS)).interrupt();
            Thread.sleep(5);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        for (int i = 0; i < OPEN; i++) {
            close(mailboxes.get(i));
        }
        // They know their mailboxes, also those that were forgotten.
        for (int i = 0; i < fetches.length(); i++) {
            fetches.set(i, null);
        }
        for (int i = 0; i < mails.length(); i++) {
            mails.set(i, null);
        }
    }

    private void calls() {
        Random random = ThreadLocalRandom.current();
        while (calls.getAndDecrement() > 0) {
            String result;
            try {
                result = call(random);
            } catch (MailboxException e) {
                result = e.kind() == MailboxException.Kind.INTERNAL ? "broken\t" + e : "MailboxException " + e.kind();
            } catch (NullPointerException | NoSuchElementException e) {
                result = e.getClass().getSimpleName();
            } catch (Throwable e) {
                result = "broken\t" + e;
            }
            results.computeIfAbsent(result, name -> new LongAdder()).increment();
        }
    }

    private String call(Random random) throws Exception {
        int what = random.nextInt(1_000);
        int place = random.nextInt(OPEN);
        BounceMailbox mailbox = mailboxes.get(place);
        if (mailbox == null || what < 2) {
            BounceMailbox opened = builders.get(random.nextInt(builders.size())).open();
            BounceMailbox before = mailboxes.getAndSet(place, opened);
            // The other half is forgotten.
            if (random.nextBoolean()) {
                close(before);
            }
            return "open";
        } else if (what < 4) {
            mailbox.close();
            return "close";
        } else if (what < 5) {
            mailboxes.compareAndSet(place, mailbox, null);
            return "forget";
        } else if (what < 7) {
            return fetch(random, mailbox);
        } else if (what < 400) {
            Of<Iterator<BounceMessage>> fetch = fetches.get(random.nextInt(fetches.length()));
            if (fetch == null) {
                return fetch(random, mailbox);
            }
            if (random.nextInt(10) == 0) {
                fetch.it.hasNext();
                return "hasNext";
            }
            BounceMessage mail = fetch.it.next();
            mails.set(random.nextInt(mails.length()), new Of<>(fetch.mailbox, mail));
            long length;
            try (InputStream in = mail.inputStream()) {
                length = in.readAllBytes().length;
            } catch (IOException e) {
                // A forged release of its file.
                return "closed mail";
            }
            if (mail.size() < 5_000 || length != mail.size()) {
                throw new AssertionError(mail + " has " + mail.size() + " octets");
            }
            if (random.nextBoolean()) {
                mail.close();
            }
            return "next";
        } else if (what < 900) {
            Of<BounceMessage> mail = mails.get(random.nextInt(mails.length()));
            if (mail == null || random.nextInt(50) == 0) {
                return settle(random, mailbox, null);
            }
            // Now and then of another mailbox.
            return settle(random, random.nextInt(10) == 0 ? mailbox : mail.mailbox, mail.it);
        } else if (what < 902) {
            mailbox.flush();
            return "flush";
        } else if (what < 903) {
            return "check " + mailbox.check().outcome();
        } else if (what < 930) {
            return mailbox.health().state().toString();
        } else if (what < 940) {
            return mailbox.toString().isEmpty() ? "broken\tno name" : "toString";
        } else if (what < 945) {
            BounceMailbox.builder().settings(ExampleSettings.oauth2()).listener(FOLDERS[random.nextInt(FOLDERS.length)]).open().close();
            return "listener";
        } else {
            return forged(random);
        }
    }

    /** A newer fetch replaces an older one at its place, wherever that one is. */
    private String fetch(Random random, BounceMailbox mailbox) {
        fetches.set(random.nextInt(fetches.length()), new Of<>(mailbox, mailbox.fetch().iterator()));
        return "fetch";
    }

    private static String settle(Random random, BounceMailbox mailbox, BounceMessage mail) {
        switch (random.nextInt(4)) {
            case 0:
                return "move " + mailbox.move(mail, random.nextInt(20) == 0 ? null : FOLDERS[random.nextInt(FOLDERS.length)]);
            case 1:
                return "delete " + mailbox.delete(mail);
            default:
                int outcome = random.nextInt(Outcome.values().length + 1);
                return "settle " + mailbox.settle(mail, outcome == Outcome.values().length ? null : Outcome.values()[outcome]);
        }
    }

    /** What the wrapper never does: numbers of nothing or of somebody else's mailbox, nulls, arrays that are too short. */
    private static String forged(Random random) {
        long mailbox = random.nextInt(3) == 0 ? random.nextLong() : random.nextInt(2_000);
        long uid = random.nextBoolean() ? random.nextLong() : random.nextInt(1_000);
        try {
            switch (random.nextInt(17)) {
                case 0:
                    return "forged settle " + Native.settle(mailbox, uid, random.nextInt(1_000), random.nextInt(20) - 5);
                case 1:
                    return "forged move " + Native.move(mailbox, 14, uid, random.nextBoolean() ? null : FOLDERS[random.nextInt(FOLDERS.length)]);
                case 2:
                    return "forged delete " + Native.delete(mailbox, 14, uid);
                case 3:
                    Native.log(mailbox);
                    return "forged log";
                case 4:
                    Native.health(mailbox, random.nextBoolean() ? null : new long[random.nextInt(9)]);
                    return "forged health";
                case 5:
                    Native.openSettings(null, random.nextBoolean() ? null : new String[] {"a", null}, null);
                    return "forged open";
                case 6:
                    Native.openUmHome(random.nextBoolean() ? null : new byte[] {'/', 0, -1}, null, null);
                    return "forged home";
                case 7:
                    Native.name(mailbox);
                    return "forged name";
                case 8:
                    Native.keys(random.nextBoolean() ? null : FOLDERS[random.nextInt(FOLDERS.length)]);
                    return "forged keys";
                case 9:
                    if (random.nextInt(50) == 0) {
                        Native.close(mailbox);
                    }
                    return "forged close";
                case 10:
                    byte[] buffer = random.nextInt(9) == 0 ? null : new byte[random.nextInt(100)];
                    int read = Native.read(mailbox, uid, buffer, random.nextInt(200) - 50, random.nextInt(200) - 50);
                    return "forged read " + (read > 0);
                case 11:
                    if (random.nextInt(50) == 0) {
                        Native.release(mailbox);
                    }
                    return "forged release";
                case 12:
                    return "forged renewal " + Native.renewBySettings(mailbox, null, random.nextBoolean() ? null : new String[] {"a", "b"});
                case 13:
                    return "forged renewal " + Native.renewByUmHome(mailbox, random.nextBoolean() ? null : new byte[] {'/', 'x'}, null);
                case 14:
                    Native.proxy(null, random.nextBoolean() ? null : "\ud800", null);
                    return "forged proxy";
                default:
                    byte[] octets = Native.next(mailbox, random.nextInt(5), random.nextInt(4) == 0 ? null : new long[random.nextInt(6)],
                            random.nextInt(4) == 0 ? null : new String[random.nextInt(3)]);
                    return "forged next " + (octets != null);
            }
        } catch (MailboxException e) {
            // A null of our own making is a fault of the library as far as it can see.
            return "forged " + e.kind();
        } catch (IndexOutOfBoundsException e) {
            return "forged IndexOutOfBoundsException";
        }
    }

    private static void close(BounceMailbox mailbox) {
        if (mailbox != null) {
            mailbox.close();
        }
    }

    private static String user(int number) {
        return "bounces" + number + "@example.com";
    }

    private static void ignore(Level level, String text) {
        if (level == null || text.isEmpty()) {
            throw new AssertionError();
        }
    }

    /** Something that came from a mailbox. */
    private static final class Of<T> {
        final BounceMailbox mailbox;
        final T it;

        Of(BounceMailbox mailbox, T it) {
            this.mailbox = mailbox;
            this.it = it;
        }
    }
}
