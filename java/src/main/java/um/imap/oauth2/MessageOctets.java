package um.imap.oauth2;

import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.Objects;

/** The octets of a mail: in memory or, where they are many, in a file that nobody else can open. */
abstract class MessageOctets {
    abstract byte[] bytes();

    abstract InputStream inputStream();

    abstract long size();

    abstract void close();

    /** Takes the file, which is closed where the Java heap has no room for whoever would close it. */
    static MessageOctets inFile(long file, long size) {
        try {
            return new InFile(file, size);
        } catch (OutOfMemoryError e) {
            Native.release(file);
            throw e;
        }
    }

    static final class InMemory extends MessageOctets {
        private final byte[] octets;

        InMemory(byte[] octets) {
            this.octets = octets;
        }

        @Override
        byte[] bytes() {
            return octets.clone();
        }

        @Override
        InputStream inputStream() {
            return new ByteArrayInputStream(octets);
        }

        @Override
        long size() {
            return octets.length;
        }

        @Override
        void close() {
        }
    }

    /** The native side keeps the file until it is closed or forgotten. */
    static final class InFile extends MessageOctets {
        private final long file;
        private final long size;
        private final Cleaner.Cleanable cleanable;

        private InFile(long file, long size) {
            this.file = file;
            this.size = size;
            this.cleanable = BounceMailbox.CLEANER.register(this, () -> Native.release(file));
        }

        @Override
        byte[] bytes() {
            if (size > Integer.MAX_VALUE - 8) {
                throw MailboxException.usage(Texts.text("usage.large", size));
            }
            byte[] octets = new byte[(int) size];
            try (InputStream in = inputStream()) {
                int read = in.readNBytes(octets, 0, octets.length);
                if (read < octets.length) {
                    throw new UncheckedIOException(new IOException("only " + read + " of " + size + " octets are there"));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return octets;
        }

        @Override
        InputStream inputStream() {
            return new BufferedInputStream(new Octets());
        }

        @Override
        long size() {
            return size;
        }

        @Override
        void close() {
            cleanable.clean();
        }

        /** Keeps the file from being cleaned up. */
        private final class Octets extends InputStream {
            private long position;

            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] buffer, int offset, int length) throws IOException {
                Objects.checkFromIndexSize(offset, length, buffer.length);
                if (length == 0) {
                    return 0;
                }
                try {
                    int read = Native.read(file, position, buffer, offset, length);
                    position += read;
                    return read == 0 ? -1 : read;
                } catch (MailboxException e) {
                    throw new IOException(e.getMessage(), e);
                } finally {
                    Reference.reachabilityFence(InFile.this);
                }
            }

            @Override
            public int available() {
                return (int) Math.min(size - position, Integer.MAX_VALUE);
            }
        }
    }
}
