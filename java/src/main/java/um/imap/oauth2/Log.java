package um.imap.oauth2;

import java.lang.System.Logger.Level;
import java.util.List;
import java.util.function.BiConsumer;

/**
 * Takes what a mailbox has to say to where its user wants it; on the threads of Java that are in a call anyway.
 *
 * <p>Below {@code um.imap.oauth2} there are two loggers: {@code library} for the native library and what goes wrong beside the
 * mailboxes, {@code mailbox} for what mailboxes say.
 */
final class Log {
    static final System.Logger LIBRARY = System.getLogger("um.imap.oauth2.library");
    static final System.Logger MAILBOX = System.getLogger("um.imap.oauth2.mailbox");

    private Log() {
    }

    /**
     * Hands on what the mailbox has said since the last time. Never throws: a call's result is worth more.
     *
     * @param consumer null: the logger
     */
    static void drain(long mailbox, BiConsumer<Level, String> consumer) {
        String[] records = Native.log(mailbox);
        if (records == null) {
            return;
        }
        if (consumer == null) {
            deliver(records, MAILBOX);
            return;
        }
        for (int i = 0; i + 1 < records.length; i += 2) {
            Level level = Level.valueOf(records[i]);
            try {
                consumer.accept(level, records[i + 1]);
            } catch (RuntimeException e) {
                MAILBOX.log(level, records[i + 1]);
                LIBRARY.log(Level.WARNING, "The log function of a mailbox failed", e);
            }
        }
    }

    /** Asks the logger for its level once, whatever there is to say: a trace can be long. */
    static void deliver(String[] records, System.Logger logger) {
        Level lowest = LEVELS.stream().filter(logger::isLoggable).findFirst().orElse(Level.OFF);
        for (int i = 0; i + 1 < records.length; i += 2) {
            Level level = Level.valueOf(records[i]);
            if (level.compareTo(lowest) >= 0) {
                logger.log(level, records[i + 1]);
            }
        }
    }

    /** Those of the native side, the lowest first. */
    private static final List<Level> LEVELS = List.of(Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR);
}
