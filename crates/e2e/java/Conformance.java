import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.mesos.*;
import org.apache.mesos.Protos.*;
import org.apache.mesos.protobuf.ByteString;

/** What Java frameworks rely on of libmesos, through the jar that they have. The first argument says which part. */
public final class Conformance {
  public static void main(String[] arguments) throws Exception {
    switch (arguments[0]) {
      case "natives": natives(arguments[1]); break;
      case "idle": idle(); break;
      case "life": new Life(arguments[1], arguments[2]).run(); break;
      case "throws": throwing(arguments[1]); break;
      case "refused": refused(); break;
      case "updates": updates(arguments[1], Integer.parseInt(arguments[2])); break;
      case "executor": System.exit(new MesosExecutorDriver(new Tasks()).run() == Status.DRIVER_STOPPED ? 0 : 1); break;
      default: throw new IllegalArgumentException(arguments[0]);
    }
    System.out.println("PASS " + arguments[0]);
    System.exit(0);
  }

  static void check(boolean holds, Object what) {
    if (!holds) throw new AssertionError(String.valueOf(what));
  }

  /** Calls every native method of every class of the jar, on objects without a constructor's work: each must link. */
  static void natives(String jar) throws Exception {
    java.lang.reflect.Field field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
    field.setAccessible(true);
    sun.misc.Unsafe unsafe = (sun.misc.Unsafe) field.get(null);
    MesosNativeLibrary.load();
    check(MesosNativeLibrary.version().equals(new MesosNativeLibrary.Version(1, 12, 0)), "the version");
    int count = 0;
    for (JarEntry entry : Collections.list(new JarFile(jar).entries())) {
      String name = entry.getName();
      if (!name.startsWith("org/apache/mesos/") || !name.endsWith(".class") || name.contains("Protos")
          || name.contains("protobuf")) continue;
      Class<?> type = Class.forName(name.substring(0, name.length() - 6).replace('/', '.'));
      for (Method method : type.getDeclaredMethods()) {
        if (!Modifier.isNative(method.getModifiers())) continue;
        method.setAccessible(true);
        Class<?>[] kinds = method.getParameterTypes();
        Object[] values = new Object[kinds.length];
        for (int i = 0; i < kinds.length; i++) {
          values[i] = kinds[i] == long.class ? (Object) 0L : kinds[i] == int.class ? (Object) 0
              : kinds[i] == boolean.class ? (Object) false : null;
        }
        Object object = Modifier.isStatic(method.getModifiers()) ? null : concrete(unsafe, type);
        try {
          method.invoke(object, values);
        } catch (InvocationTargetException e) {
          Throwable cause = e.getCause();
          check(!(cause instanceof Error), method + ": " + cause);
        }
        count++;
      }
    }
    check(count >= 107, count + " native methods");
  }

  static Object concrete(sun.misc.Unsafe unsafe, Class<?> type) throws Exception {
    if (Modifier.isAbstract(type.getModifiers())) type = Class.forName("org.apache.mesos.state.LevelDBState");
    return unsafe.allocateInstance(type);
  }

  static FrameworkInfo framework() {
    return FrameworkInfo.newBuilder().setUser("root").setName("conformance").setFailoverTimeout(60).build();
  }

  /** Before it is started every call of a driver answers that it is not. */
  static void idle() {
    MesosSchedulerDriver driver = new MesosSchedulerDriver(new Life("127.0.0.1:1", ""), framework(), "127.0.0.1:1");
    OfferID offer = OfferID.newBuilder().setValue("o").build();
    Filters filters = Filters.getDefaultInstance();
    TaskID task = TaskID.newBuilder().setValue("t").build();
    Collection<OfferID> offers = Collections.singleton(offer);
    List<Status> answers = Arrays.asList(
        driver.launchTasks(offer, new ArrayList<TaskInfo>(), filters),
        driver.launchTasks(offers, new ArrayList<TaskInfo>(), filters),
        driver.acceptOffers(offers, new ArrayList<Offer.Operation>(), filters),
        driver.declineOffer(offer, filters),
        driver.killTask(task),
        driver.reviveOffers(),
        driver.suppressOffers(),
        driver.requestResources(new ArrayList<Request>()),
        driver.reconcileTasks(new ArrayList<TaskStatus>()),
        driver.acknowledgeStatusUpdate(TaskStatus.newBuilder().setTaskId(task).setState(TaskState.TASK_LOST).build()),
        driver.sendFrameworkMessage(
            ExecutorID.newBuilder().setValue("e").build(), SlaveID.newBuilder().setValue("s").build(), new byte[] {0}),
        driver.join(), driver.stop(true), driver.abort());
    for (Status answer : answers) check(answer == Status.DRIVER_NOT_STARTED, answers);
    MesosExecutorDriver executor = new MesosExecutorDriver(new Tasks());
    List<Status> others = Arrays.asList(
        executor.sendStatusUpdate(TaskStatus.newBuilder().setTaskId(task).setState(TaskState.TASK_LOST).build()),
        executor.sendFrameworkMessage(new byte[] {0}), executor.join(), executor.stop(), executor.abort());
    for (Status answer : others) check(answer == Status.DRIVER_NOT_STARTED, others);
  }

  /** What cannot work is told to `error`, and the driver is aborted. */
  static void refused() throws Exception {
    Life life = new Life("zk://127.0.0.1:1", "");
    MesosSchedulerDriver driver = new MesosSchedulerDriver(life, framework(), "zk://127.0.0.1:1");
    check(driver.run() == Status.DRIVER_ABORTED, "a master that is none");
    String message = (String) life.next("error")[1];
    check(message.startsWith("Failed to create a master detector for 'zk://127.0.0.1:1': "), message);
    try {
      new org.apache.mesos.state.LevelDBState("/nowhere");
      check(false, "LevelDBState");
    } catch (UnsupportedOperationException e) {
      check(e.getMessage().startsWith("org.apache.mesos.state.LevelDBState is not supported"), e.getMessage());
    }
  }

  /** Takes as many updates as are said, in bounded memory, and leaves when it is told on its input. */
  static void updates(String master, int count) throws Exception {
    CountDownLatch all = new CountDownLatch(count);
    long[] early = new long[1];
    Life life = new Life(master, "") {
      @Override public void statusUpdate(SchedulerDriver driver, TaskStatus status) {
        if (all.getCount() == count - count / 5) early[0] = resident();
        all.countDown();
      }
    };
    MesosSchedulerDriver driver = new MesosSchedulerDriver(life, framework(), master);
    check(driver.start() == Status.DRIVER_RUNNING, "start");
    all.await();
    long grown = resident() - early[0];
    System.in.read();
    check(driver.stop(true) == Status.DRIVER_STOPPED && driver.join() == Status.DRIVER_STOPPED, "stop");
    // Nothing that is kept for an update is so small that it would stay below this, for all of them.
    check(grown < 64 * 1024, grown + " KB more after " + count + " updates than after a fifth of them");
  }

  /** This process's memory in KB. */
  static long resident() {
    try {
      for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
        if (line.startsWith("VmRSS:")) return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    throw new IllegalStateException("no VmRSS");
  }

  /** A callback that throws aborts its driver. */
  static void throwing(String master) {
    Life life = new Life(master, "") {
      @Override public void registered(SchedulerDriver driver, FrameworkID id, MasterInfo info) {
        throw new IllegalStateException("on purpose");
      }
    };
    MesosSchedulerDriver driver = new MesosSchedulerDriver(life, framework(), master);
    check(driver.run() == Status.DRIVER_ABORTED, "a callback that throws");
    check(driver.stop(false) == Status.DRIVER_ABORTED, "an aborted driver can be stopped");
  }

  /** An executor whose tasks run until they are told to finish, or killed. */
  static final class Tasks implements Executor {
    private final List<TaskID> running = new ArrayList<>();
    private String registered = "";

    static void report(ExecutorDriver driver, TaskID task, TaskState state, ByteString data) {
      TaskStatus status = TaskStatus.newBuilder().setTaskId(task).setState(state).setData(data).build();
      check(driver.sendStatusUpdate(status) == Status.DRIVER_RUNNING, "an update");
    }

    @Override public void registered(ExecutorDriver d, ExecutorInfo executor, FrameworkInfo framework, SlaveInfo agent) {
      registered = executor.getExecutorId().getValue() + " " + framework.getName() + " " + agent.getHostname();
    }

    @Override public void launchTask(ExecutorDriver driver, TaskInfo task) {
      running.add(task.getTaskId());
      check(registered.startsWith("executor conformance "), registered);
      report(driver, task.getTaskId(), TaskState.TASK_RUNNING, task.getData());
    }

    @Override public void killTask(ExecutorDriver driver, TaskID task) {
      running.remove(task);
      report(driver, task, TaskState.TASK_KILLED, ByteString.EMPTY);
    }

    @Override public void frameworkMessage(ExecutorDriver driver, byte[] data) {
      if (new String(data, StandardCharsets.UTF_8).equals("finish")) {
        for (TaskID task : running) report(driver, task, TaskState.TASK_FINISHED, ByteString.EMPTY);
        running.clear();
      }
      driver.sendFrameworkMessage(data);
    }

    @Override public void shutdown(ExecutorDriver driver) { driver.stop(); }
    @Override public void reregistered(ExecutorDriver driver, SlaveInfo agent) {}
    @Override public void disconnected(ExecutorDriver driver) {}
    @Override public void error(ExecutorDriver driver, String message) { System.err.println("error: " + message); }
  }

  /** A scheduler that queues what it is told, and the life of a framework. */
  static class Life implements Scheduler {
    private final BlockingQueue<Object[]> told = new LinkedBlockingQueue<>();
    private final List<Offer> offers = new ArrayList<>();
    private final String master;
    private final String executor;

    Life(String master, String executor) {
      this.master = master;
      this.executor = executor;
    }

    private void tell(Object... what) { told.add(what); }

    @Override public void registered(SchedulerDriver d, FrameworkID id, MasterInfo m) { tell("registered", id, m); }
    @Override public void reregistered(SchedulerDriver d, MasterInfo m) { tell("reregistered", m); }
    @Override public void disconnected(SchedulerDriver d) { tell("disconnected"); }
    @Override public void resourceOffers(SchedulerDriver d, List<Offer> offers) { tell("resourceOffers", offers); }
    @Override public void offerRescinded(SchedulerDriver d, OfferID id) { tell("offerRescinded", id); }
    @Override public void statusUpdate(SchedulerDriver d, TaskStatus status) { tell("statusUpdate", status); }
    @Override public void frameworkMessage(SchedulerDriver d, ExecutorID e, SlaveID a, byte[] data) {
      tell("frameworkMessage", e, a, data);
    }
    @Override public void slaveLost(SchedulerDriver d, SlaveID id) { tell("slaveLost", id); }
    @Override public void executorLost(SchedulerDriver d, ExecutorID e, SlaveID a, int status) {
      tell("executorLost", e, a, status);
    }
    @Override public void error(SchedulerDriver d, String message) { tell("error", message); }

    /** The next callback of this name; offers are kept on the way. */
    Object[] next(String name) throws InterruptedException {
      while (true) {
        Object[] what = told.poll(60, TimeUnit.SECONDS);
        check(what != null, name + ": not within a minute");
        if (what[0].equals("resourceOffers")) {
          for (Object offer : (List<?>) what[1]) offers.add((Offer) offer);
        }
        if (what[0].equals(name)) return what;
        check(!what[0].equals("error"), what.length > 1 ? what[1] : "");
      }
    }

    Offer offer() throws InterruptedException {
      while (offers.isEmpty()) next("resourceOffers");
      return offers.remove(0);
    }

    TaskStatus update(String task, TaskState state) throws InterruptedException {
      while (true) {
        TaskStatus status = (TaskStatus) next("statusUpdate")[1];
        if (status.getTaskId().getValue().equals(task) && status.getState() == state) return status;
      }
    }

    static Resource scalar(String name, double value) {
      return Resource.newBuilder().setName(name).setType(Value.Type.SCALAR)
          .setScalar(Value.Scalar.newBuilder().setValue(value)).build();
    }

    TaskInfo task(String name, Offer offer) {
      CommandInfo command = CommandInfo.newBuilder().setValue("exec " + executor).build();
      ExecutorInfo info = ExecutorInfo.newBuilder()
          .setExecutorId(ExecutorID.newBuilder().setValue("executor")).setCommand(command)
          .addResources(scalar("cpus", 0.1)).addResources(scalar("mem", 128)).build();
      return TaskInfo.newBuilder().setName(name).setTaskId(TaskID.newBuilder().setValue(name))
          .setSlaveId(offer.getSlaveId()).setExecutor(info)
          .addResources(scalar("cpus", 0.1)).addResources(scalar("mem", 32))
          .setData(ByteString.copyFrom(new byte[] {0, -1, 7})).build();
    }

    void run() throws Exception {
      MesosSchedulerDriver driver = new MesosSchedulerDriver(this, framework(), master);
      check(driver.start() == Status.DRIVER_RUNNING, "start");
      check(driver.start() == Status.DRIVER_RUNNING, "a second start");
      Object[] registered = next("registered");
      FrameworkID id = (FrameworkID) registered[1];
      check(((MasterInfo) registered[2]).getPid().equals("master@" + master), registered[2]);
      Filters soon = Filters.newBuilder().setRefuseSeconds(0.1).build();
      Offer offer = offer();
      check(offer.getFrameworkId().equals(id) && offer.getResourcesCount() > 0, offer);
      SlaveID agent = offer.getSlaveId();
      check(driver.launchTasks(Collections.singleton(offer.getId()), Collections.singleton(task("a", offer)), soon)
          == Status.DRIVER_RUNNING, "launchTasks");
      TaskStatus running = update("a", TaskState.TASK_RUNNING);
      check(Arrays.equals(running.getData().toByteArray(), new byte[] {0, -1, 7}), running);
      check(running.getSlaveId().equals(agent) && running.getUuid().size() == 16, running);
      offer = offer();
      check(driver.acceptOffers(Collections.singleton(offer.getId()), Collections.singleton(
          Offer.Operation.newBuilder().setType(Offer.Operation.Type.LAUNCH)
              .setLaunch(Offer.Operation.Launch.newBuilder().addTaskInfos(task("b", offer))).build()), soon)
          == Status.DRIVER_RUNNING, "acceptOffers");
      update("b", TaskState.TASK_RUNNING);
      driver.killTask(TaskID.newBuilder().setValue("b").build());
      update("b", TaskState.TASK_KILLED);
      ExecutorID executorId = ExecutorID.newBuilder().setValue("executor").build();
      driver.sendFrameworkMessage(executorId, agent, new byte[] {0, -1, 7});
      Object[] message = next("frameworkMessage");
      check(message[1].equals(executorId) && message[2].equals(agent), Arrays.toString(message));
      check(Arrays.equals((byte[]) message[3], new byte[] {0, -1, 7}), "a message's bytes");
      driver.sendFrameworkMessage(executorId, agent, "finish".getBytes(StandardCharsets.UTF_8));
      update("a", TaskState.TASK_FINISHED);
      driver.reconcileTasks(Collections.singleton(TaskStatus.newBuilder()
          .setTaskId(TaskID.newBuilder().setValue("never")).setState(TaskState.TASK_RUNNING).build()));
      check(update("never", TaskState.TASK_LOST).getReason() == TaskStatus.Reason.REASON_RECONCILIATION, "reconciled");
      driver.suppressOffers();
      driver.requestResources(new ArrayList<Request>());
      driver.reviveOffers();
      driver.declineOffer(offer().getId(), soon);
      // Another instance takes over; this one is told and aborted.
      FrameworkInfo same = framework().toBuilder().setId(id).build();
      Life other = new Life(master, executor);
      MesosSchedulerDriver successor = new MesosSchedulerDriver(other, same, master);
      check(successor.start() == Status.DRIVER_RUNNING, "a successor");
      check(other.next("registered")[1].equals(id), "the same framework");
      check(next("error")[1].equals("Framework failed over"), "the one before is told");
      check(driver.join() == Status.DRIVER_ABORTED && driver.stop(true) == Status.DRIVER_ABORTED, "and aborted");
      check(successor.stop(false) == Status.DRIVER_STOPPED, "stop");
      check(successor.join() == Status.DRIVER_STOPPED, "join");
    }
  }
}
