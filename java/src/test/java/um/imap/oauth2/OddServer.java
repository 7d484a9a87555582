package um.imap.oauth2;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** An IMAP server on loopback with three messages, which speaks a dialect. Octets are characters up to U+00FF in its strings. */
final class OddServer implements Closeable {
    static final Map<Long, String> MESSAGES = new TreeMap<>(Map.of(
            1L, "Subject: one\r\n\r\nbody\r\n",
            2L, "Subject: ends like a literal {5}\r\n\r\n* 1 FETCH (UID 7 BODY[] {3}\r\n) U5 OK done\r\n",
            3L, "Subject: octets\r\n\r\n\u00e4\u00ff\r\r\n"));
    private static final Pattern COMMAND = Pattern.compile("(\\S+) (UID )?(\\S+) ?(.*)", Pattern.CASE_INSENSITIVE);

    private final Dialect dialect;
    private final ServerSocket socket;
    private volatile boolean reached;

    OddServer(Dialect dialect) throws IOException {
        this.dialect = dialect;
        socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(this::serve, "odd server");
        thread.setDaemon(true);
        thread.start();
    }

    int port() {
        return socket.getLocalPort();
    }

    Result result(Map<Long, byte[]> read, String failure) {
        Map<Long, String> messages = new TreeMap<>();
        read.forEach((uid, octets) -> messages.put(uid, new String(octets, StandardCharsets.ISO_8859_1)));
        return new Result(messages, failure, reached);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private void serve() {
        while (!socket.isClosed()) {
            try (Socket client = socket.accept()) {
                client.setSoTimeout(5000);
                new Connection(client).serve();
            } catch (IOException e) {
                // The client has gone, or the test is over.
            }
        }
    }

    /** The result of a client: what it read, or how it failed. */
    static final class Result {
        private final Map<Long, String> messages;
        private final String failure;
        private final boolean reached;

        Result(Map<Long, String> messages, String failure, boolean reached) {
            this.messages = messages;
            this.failure = failure;
            this.reached = reached;
        }

        Map<Long, String> messages() {
            return messages;
        }

        /** Whether each message was read with its octets, and nothing failed. */
        boolean complete() {
            return failure.isEmpty() && messages.equals(MESSAGES);
        }

        /** Whether the session came to the place of the odd line. */
        boolean reached() {
            return reached;
        }

        String failure() {
            return failure + " " + messages.keySet();
        }
    }

    /** How this server differs from an ordinary one. */
    static final class Dialect {
        private String line = "";
        private int place;
        private UnaryOperator<String> rewrite = UnaryOperator.identity();
        private String greeting = "* OK ready\r\n";
        private String capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR ID UIDPLUS MOVE";
        private String challenge = "+ \r\n";

        /** A line that is sent before a response, counted from the greeting, 0. */
        static Dialect with(String line, int place) {
            Dialect dialect = new Dialect();
            dialect.line = line + "\r\n";
            dialect.place = place;
            return dialect;
        }

        static Dialect rewriting(UnaryOperator<String> rewrite) {
            Dialect dialect = new Dialect();
            dialect.rewrite = rewrite;
            return dialect;
        }

        static Dialect replacing(String pattern, String replacement) {
            Pattern compiled = Pattern.compile(pattern);
            return rewriting(response -> compiled.matcher(response).replaceAll(replacement));
        }

        static Dialect greeting(String greeting) {
            Dialect dialect = new Dialect();
            dialect.greeting = greeting;
            return dialect;
        }

        static Dialect capable(String capabilities) {
            Dialect dialect = new Dialect();
            dialect.capabilities = capabilities;
            return dialect;
        }

        static Dialect challenging(String challenge) {
            Dialect dialect = capable("IMAP4rev1 AUTH=PLAIN");
            dialect.challenge = challenge;
            return dialect;
        }

        int place() {
            return place;
        }
    }

    /** Each dialect by its name. A message's octets are never rewritten. */
    static Map<String, Dialect> dialects() {
        Map<String, Dialect> all = new LinkedHashMap<>();
        all.put("line feeds only", Dialect.replacing("\r\n", "\n"));
        all.put("two blanks after the star", Dialect.replacing("^\\* ", "*  "));
        all.put("two blanks after the tag", Dialect.replacing("^(\\w+) OK", "$1  OK"));
        all.put("answers without text", Dialect.replacing("^(\\w+ OK).*", "$1"));
        all.put("two blanks after OK", Dialect.replacing("^(\\w+ OK)", "$1 "));
        all.put("blanks in a list", Dialect.replacing("FLAGS \\((.*?)\\)", "FLAGS  ( $1 )"));
        all.put("messages from their first octet on", Dialect.replacing("BODY\\[\\] ", "BODY[]<0> "));
        all.put("two blanks in FETCH", Dialect.replacing("FETCH \\(", "FETCH  ("));
        all.put("two blanks before a literal", Dialect.replacing("BODY\\[\\] \\{", "BODY[]  {"));
        all.put("extended searches", Dialect.replacing("^\\* SEARCH 1 2 3", "* ESEARCH UID ALL 1:3"));
        all.put("two blanks in SEARCH", Dialect.replacing("^\\* SEARCH", "*  SEARCH "));
        all.put("a line for each number", Dialect.replacing("^\\* SEARCH 1 2 3", "* SEARCH 1\r\n* SEARCH 2\r\n* SEARCH 3"));
        all.put("two blanks in a code", Dialect.replacing("\\[UIDVALIDITY ", "[UIDVALIDITY  "));
        all.put("FLAGS NIL", Dialect.replacing("FLAGS \\(\\)", "FLAGS NIL"));
        all.put("sizes with an exponent", Dialect.replacing("RFC822.SIZE (\\d+)", "RFC822.SIZE 9.3736e+06"));
        all.put("dates without quotes", Dialect.replacing("INTERNALDATE \"[^\"]*\"", "INTERNALDATE 23-Nov-2026"));
        all.put("an ENVELOPE", Dialect.replacing("(FETCH \\()", "$1ENVELOPE (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL \"<i>\") "));
        all.put("NIL as separator", Dialect.replacing("^(\\* LIST .*?) \"/\"", "$1 NIL"));
        all.put("NIL as attributes", Dialect.replacing("^\\* LIST \\(.*?\\)", "* LIST NIL"));
        all.put("a literal as name", Dialect.replacing("^(\\* LIST .*?) INBOX", "$1 {5}\r\nINBOX"));
        all.put("extended LIST", Dialect.replacing("^(\\* LIST .*?)\r\n", "$1 (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"));
        all.put("no UIDNEXT and no UNSEEN", Dialect.replacing("^\\* OK \\[(UIDNEXT|UNSEEN).*\r\n", ""));
        all.put("capabilities with two blanks", Dialect.capable(" IMAP4rev1  AUTH=PLAIN  SASL-IR "));
        all.put("IMAP4rev2 only", Dialect.capable("IMAP4rev2 AUTH=PLAIN SASL-IR"));
        all.put("odd capabilities", Dialect.capable("IMAP4rev1 AUTH=PLAIN SASL-IR X=@-% == {x} (y"));
        all.put("capabilities in lower case", Dialect.capable("imap4rev1 auth=plain sasl-ir"));
        all.put("a challenge with text", Dialect.challenging("+ go ahead\r\n"));
        all.put("a challenge without blank", Dialect.challenging("+\r\n"));
        all.put("capabilities in the greeting", Dialect.greeting("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n"));
        all.put("a greeting without text", Dialect.greeting("* OK\r\n"));
        all.put("PREAUTH", Dialect.greeting("* PREAUTH you are somebody\r\n"));
        return all;
    }

    /** One connection, from the greeting to the client's end. */
    private final class Connection {
        private final InputStream in;
        private final OutputStream out;
        private int responses;

        Connection(Socket client) throws IOException {
            in = new BufferedInputStream(client.getInputStream());
            out = new BufferedOutputStream(client.getOutputStream());
        }

        void serve() throws IOException {
            send(dialect.greeting, "", "");
            for (String line = line(); line != null; line = line()) {
                Matcher command = COMMAND.matcher(line);
                if (!command.matches()) {
                    throw new IOException("no command: " + line);
                }
                boolean uid = command.group(2) != null;
                String name = command.group(3).toUpperCase(Locale.ROOT);
                if (name.equals("AUTHENTICATE") && command.group(4).indexOf(' ') < 0) {
                    out.write(octets(dialect.challenge));
                    line();
                }
                answer(name, uid, command.group(4));
                String code = name.equals("SELECT") ? "[READ-WRITE] " : "";
                send(command.group(1) + " OK " + code + name + " completed\r\n", "", "");
                if (name.equals("LOGOUT")) {
                    out.flush();
                    return;
                }
            }
        }

        /** Sends the untagged answers to a command. */
        private void answer(String name, boolean uid, String arguments) throws IOException {
            switch (name) {
                case "CAPABILITY":
                    send("* CAPABILITY " + dialect.capabilities + "\r\n", "", "");
                    break;
                case "ID":
                    send("* ID NIL\r\n", "", "");
                    break;
                case "NAMESPACE":
                    send("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n", "", "");
                    break;
                case "LIST":
                    for (String folder : List.of("INBOX", "debug", "error")) {
                        send("* LIST (\\HasNoChildren) \"/\" " + folder + "\r\n", "", "");
                    }
                    break;
                case "SELECT":
                case "EXAMINE":
                    for (String line : List.of("FLAGS (\\Seen \\Deleted)", "3 EXISTS", "0 RECENT", "OK [UIDVALIDITY 9] valid", "OK [UIDNEXT 4] next", "OK [UNSEEN 1] first")) {
                        send("* " + line + "\r\n", "", "");
                    }
                    break;
                case "SEARCH":
                    send("* SEARCH 1 2 3\r\n", "", "");
                    break;
                case "FETCH":
                    for (long number : numbers(arguments)) {
                        fetch(number, uid, arguments);
                    }
                    break;
                case "LOGOUT":
                    send("* BYE\r\n", "", "");
                    break;
                default:
            }
        }

        private void fetch(long number, boolean uid, String items) throws IOException {
            List<String> attributes = new ArrayList<>();
            String message = MESSAGES.get(number);
            if (uid || items.contains("UID")) {
                attributes.add("UID " + number);
            }
            if (items.contains("FLAGS")) {
                attributes.add("FLAGS ()");
            }
            if (items.contains("INTERNALDATE")) {
                attributes.add("INTERNALDATE \"23-Nov-2026 10:00:00 +0100\"");
            }
            if (items.contains("RFC822.SIZE")) {
                attributes.add("RFC822.SIZE " + message.length());
            }
            boolean body = items.contains("BODY.PEEK[]");
            if (body) {
                attributes.add("BODY[] {" + message.length() + "}\r\n");
            }
            String line = "* " + number + " FETCH (" + String.join(" ", attributes);
            if (body) {
                send(line, message, ")\r\n");
            } else {
                send(line + ")\r\n", "", "");
            }
        }

        private List<Long> numbers(String arguments) {
            List<Long> numbers = new ArrayList<>();
            for (String range : arguments.split(" ")[0].split(",")) {
                String[] ends = range.split(":");
                long last = ends[ends.length - 1].equals("*") ? MESSAGES.size() : Long.parseLong(ends[ends.length - 1]);
                for (long number = Long.parseLong(ends[0]); number <= last; number++) {
                    numbers.add(number);
                }
            }
            return numbers.stream().filter(MESSAGES::containsKey).collect(Collectors.toList());
        }

        /** Sends one response: what stands before the message's octets, these, and what stands after them. */
        private void send(String before, String message, String after) throws IOException {
            String odd = "";
            if (responses++ == dialect.place && !dialect.line.isEmpty()) {
                reached = true;
                odd = dialect.line;
            }
            boolean greeting = responses == 1;
            out.write(octets(odd + (greeting ? before : dialect.rewrite.apply(before)) + message + dialect.rewrite.apply(after)));
        }

        private byte[] octets(String text) {
            return text.getBytes(StandardCharsets.ISO_8859_1);
        }

        private String line() throws IOException {
            out.flush();
            StringBuilder line = new StringBuilder();
            for (int octet = in.read(); octet != '\n'; octet = in.read()) {
                if (octet < 0) {
                    return null;
                }
                line.append((char) octet);
            }
            return line.toString().trim();
        }
    }
}
