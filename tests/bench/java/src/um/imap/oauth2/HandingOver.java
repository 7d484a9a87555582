package um.imap.oauth2;

import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.Blackhole;

/**
 * What one mail of 5,600 octets costs on its way from the native side, in microseconds: only that, for all mails of a fetch
 * have arrived in the mailbox's buffer before the clock starts. The system property {@code um.home} is UM's home, and its
 * inbox has {@value #MAILS} mails.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@OperationsPerInvocation(HandingOver.MAILS)
@Fork(value = 3, jvmArgsAppend = {"-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch"})
@Warmup(iterations = 15)
@Measurement(iterations = 15)
public class HandingOver {
    static final int MAILS = 2000;
    private static final int OCTETS = 5600;

    /** The baseline: arrays of the same size, not in the processor's cache either, are copied. */
    @Benchmark
    public void copy(Arrays arrays, Blackhole hole) {
        for (byte[] octets : arrays.all) {
            hole.consume(octets.clone());
        }
    }

    /** As UM does it: all of {@link BounceMessage}. */
    @Benchmark
    public void iterate(Fetched fetched, Blackhole hole) {
        int mails = 0;
        for (Iterator<BounceMessage> iterator = fetched.mails.iterator(); mails < MAILS; mails++) {
            hole.consume(iterator.next());
        }
    }

    /** The native call of {@link #iterate} alone. */
    @Benchmark
    public void next(FetchedByNumber fetched, Blackhole hole) {
        for (int mails = 0; mails < MAILS; mails++) {
            hole.consume(Native.next(fetched.mailbox, fetched.fetch, new long[5], new String[1]));
        }
    }

    /** The call from which the engine is told; {@link Outcome#KEEP}, of which it tells no server. */
    @Benchmark
    public void settle(Read read, Blackhole hole) {
        for (BounceMessage mail : read.mails) {
            hole.consume(read.mailbox.settle(mail, Outcome.KEEP));
        }
    }

    /** They have arrived when this process has nothing to do any more. */
    private static void waitForMails() throws InterruptedException {
        var process = ManagementFactory.getPlatformMXBean(com.sun.management.OperatingSystemMXBean.class);
        long before;
        do {
            before = process.getProcessCpuTime();
            Thread.sleep(150);
        } while (process.getProcessCpuTime() - before > TimeUnit.MILLISECONDS.toNanos(5));
    }

    @State(Scope.Thread)
    public static class Arrays {
        final List<byte[]> all = new ArrayList<>();

        @Setup(Level.Trial)
        public void make() {
            for (int i = 0; i < MAILS; i++) {
                byte[] octets = new byte[OCTETS];
                java.util.Arrays.fill(octets, (byte) i);
                all.add(octets);
            }
        }
    }

    /** A mailbox; each iteration has a fetch of its own. */
    @State(Scope.Thread)
    public static class Fetched {
        BounceMailbox mailbox;
        Iterable<BounceMessage> mails;

        @Setup(Level.Trial)
        public void open() {
            mailbox = BounceMailbox.builder().umHome(Path.of(System.getProperty("um.home"))).open();
        }

        @Setup(Level.Iteration)
        public void fetch() throws InterruptedException {
            mails = mailbox.fetch();
            waitForMails();
        }

        @TearDown(Level.Trial)
        public void close() {
            mailbox.close();
        }
    }

    /** The same without {@link BounceMailbox}. */
    @State(Scope.Thread)
    public static class FetchedByNumber {
        long mailbox;
        long fetch;

        @Setup(Level.Trial)
        public void open() {
            NativeLibrary.INSTANCE.load(null);
            mailbox = Native.openUmHome(PathOctets.of(Path.of(System.getProperty("um.home"))), null, null);
        }

        @Setup(Level.Iteration)
        public void fetch() throws InterruptedException {
            fetch = Native.fetch(mailbox);
            waitForMails();
        }

        @TearDown(Level.Trial)
        public void close() {
            Native.close(mailbox);
            Native.log(mailbox);
        }
    }

    /** Mails that were read and not settled. */
    @State(Scope.Thread)
    public static class Read {
        BounceMailbox mailbox;
        final List<BounceMessage> mails = new ArrayList<>();

        @Setup(Level.Trial)
        public void open() {
            mailbox = BounceMailbox.builder().umHome(Path.of(System.getProperty("um.home"))).open();
        }

        @Setup(Level.Iteration)
        public void read() {
            mails.clear();
            mailbox.fetch().forEach(mails::add);
        }

        @TearDown(Level.Trial)
        public void close() {
            mailbox.close();
        }
    }
}
