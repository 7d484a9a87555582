package um.imap.oauth2;

import java.util.Locale;
import java.util.ResourceBundle;

/**
 * Holds the texts of the Java part in English and German. All other texts are in the native library, which may not be loaded.
 * A test of the library holds both languages against each other.
 */
final class Texts {
    private static final ResourceBundle ENGLISH = new TextsEnglish();
    private static final ResourceBundle GERMAN = new TextsGerman();

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
        String template = (german ? GERMAN : ENGLISH).getString(key);
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
}
