package um.imap.oauth2;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The Rust sources beside which the Java ones must stay in step. */
final class Sources {
    private Sources() {
    }

    /** {@code path} from the project's root; tests run in {@code java/}. */
    static String rust(String path) throws IOException {
        return Files.readString(Path.of("..", path));
    }

    /** The text between the first {@code start} and the next {@code end}. */
    static String between(String source, String start, String end) {
        int from = source.indexOf(start);
        if (from < 0) {
            throw new AssertionError("no " + start);
        }
        return source.substring(from, source.indexOf(end, from));
    }

    /** The first group of each match. */
    static List<String> all(String pattern, String source) {
        List<String> found = new ArrayList<>();
        Matcher matcher = Pattern.compile(pattern).matcher(source);
        while (matcher.find()) {
            found.add(matcher.group(1));
        }
        return found;
    }
}
