package um.imap.oauth2;

import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Properties;

/**
 * What the wrapper itself says, in English and German: a table beside it, since the native library, which has all other texts,
 * may not be loaded. A test of the library holds both languages against each other.
 */
final class Texts {
    private static final Properties ENGLISH = read("messages.properties");
    private static final Properties GERMAN = read("messages_de.properties");

    private static volatile boolean german;

    private Texts() {
    }

    /**
     * Chooses the language of all texts from now on.
     *
     * @param configured {@code cmsbs.lang}; null: not set, the JVM's language counts
     */
    static void speak(String configured) {
        String language = configured == null ? Locale.getDefault(Locale.Category.DISPLAY).getLanguage() : configured.trim();
        german = language.equalsIgnoreCase("de");
    }

    /** The text of this key, with the values in the place of {@code {0}}, {@code {1}} and so on. */
    static String text(String key, Object... values) {
        String template = (german ? GERMAN : ENGLISH).getProperty(key, key);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < template.length(); i++) {
            int value = i + 2 < template.length() && template.charAt(i) == '{' && template.charAt(i + 2) == '}'
                    ? Character.digit(template.charAt(i + 1), 10) : -1;
            if (value >= 0 && value < values.length) {
                text.append(values[value]);
                i += 2;
            } else {
                text.append(template.charAt(i));
            }
        }
        return text.toString();
    }

    private static Properties read(String name) {
        Properties texts = new Properties();
        try (InputStream in = Texts.class.getResourceAsStream(name)) {
            if (in != null) {
                Reader reader = new InputStreamReader(in, StandardCharsets.UTF_8);
                texts.load(reader);
            }
        } catch (IOException | RuntimeException e) {
            // Such as a security manager that forbids it: then the keys have to do.
        }
        return texts;
    }
}
