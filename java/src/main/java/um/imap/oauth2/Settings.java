package um.imap.oauth2;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** UM's effective configuration, which is asked anew each time, since what it answers can change. */
final class Settings {
    private final Function<String, String> function;

    Settings(Function<String, String> function) {
        this.function = function;
    }

    /** Key, value, key, value of each key that has a value. */
    String[] ask(String[] keys) {
        List<String> keysAndValues = new ArrayList<>();
        for (String key : keys) {
            String value = ask(key);
            if (value != null) {
                keysAndValues.add(key);
                keysAndValues.add(value);
            }
        }
        return keysAndValues.toArray(new String[0]);
    }

    String ask(String key) {
        try {
            return function.apply(key);
        } catch (VirtualMachineError e) {
            throw e;
        } catch (Throwable e) {
            throw MailboxException.configuration(key,
                    Texts.text("settings.observed", e.getClass().getName(), key), Texts.text("settings.remedy"),
                    new Wordless(e, CAUSES));
        }
    }

    /** Stands for what the function threw: its class, where it came from, and its causes, but no text, which could hold a value. */
    private static final class Wordless extends Exception {
        private static final long serialVersionUID = 1L;

        private final String name;

        Wordless(Throwable thrown, int causes) {
            super(null, thrown.getCause() == null || causes == 0 ? null : new Wordless(thrown.getCause(), causes - 1));
            name = thrown.getClass().getName();
            setStackTrace(thrown.getStackTrace());
        }

        @Override
        public String toString() {
            return name;
        }
    }

    /** Of one exception at most: they can go round in a circle. */
    private static final int CAUSES = 16;
}
