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
     * Hands on what the mailbox has said since the last time. What the application's function throws, whatever it is, does not
     * get into the call, whose result is worth more, and does not cost the records after it.
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
        Throwable thrown = null;
        for (int i = 0; i + 1 < records.length; i += 2) {
            Level level = Level.valueOf(records[i]);
            try {
                consumer.accept(level, records[i + 1]);
            } catch (Throwable e) {
                thrown = e;
                log(MAILBOX, level, records[i + 1], null);
            }
        }
        if (thrown != null) {
            log(LIBRARY, Level.WARNING, Texts.text("log.logFunction"), thrown);
        }
    }

    /** Asks the logger for its level once, whatever there is to say: a trace can be long. */
    static void deliver(String[] records, System.Logger logger) {
        Level lowest = LEVELS.stream().filter(level -> isLoggable(logger, level)).findFirst().orElse(Level.OFF);
        for (int i = 0; i + 1 < records.length; i += 2) {
            Level level = Level.valueOf(records[i]);
            if (level.compareTo(lowest) >= 0) {
                log(logger, level, records[i + 1], null);
            }
        }
    }

    /**
     * Never throws, whatever handlers the application has below the logger.
     *
     * @param thrown may be null
     */
    static void log(System.Logger logger, Level level, String text, Throwable thrown) {
        try {
            logger.log(level, text, thrown);
        } catch (Throwable e) {
            // There is nobody left to tell.
        }
    }

    private static boolean isLoggable(System.Logger logger, Level level) {
        try {
            return logger.isLoggable(level);
        } catch (Throwable e) {
            return false;
        }
    }

    /** Those of the native side, the lowest first. */
    private static final List<Level> LEVELS = List.of(Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR);
}
