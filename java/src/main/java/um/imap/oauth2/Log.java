package um.imap.oauth2;

import java.lang.System.Logger.Level;
import java.util.function.BiConsumer;

/** Takes what a mailbox has to say to where its user wants it; on the threads of Java that are in a call anyway. */
final class Log {
    static final System.Logger LOGGER = System.getLogger("um.imap.oauth2");

    private Log() {
    }

    /** Hands on what the mailbox has said since the last time. Never throws: a call's result is worth more. */
    static void drain(long mailbox, BiConsumer<Level, String> consumer) {
        String[] records = Native.log(mailbox);
        if (records == null) {
            return;
        }
        for (int i = 0; i + 1 < records.length; i += 2) {
            Level level = Level.valueOf(records[i]);
            try {
                consumer.accept(level, records[i + 1]);
            } catch (RuntimeException e) {
                LOGGER.log(level, records[i + 1]);
                LOGGER.log(Level.WARNING, "The log function of a mailbox failed", e);
            }
        }
    }
}
