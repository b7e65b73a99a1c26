import { parseArguments } from "./arguments.ts";
import { doctor } from "./doctor.ts";
import { watchFrontDoor } from "./front-door.ts";
import { generate, generateAsRank } from "./generate/generate.ts";
import { showPlan } from "./plan/show-plan.ts";
import { runAsRank } from "./ranks/run-as-rank.ts";
import { hasLauncher } from "./ranks/run-ranks.ts";
import { reportFailure } from "./report-failure.ts";

// The first interrupt cancels the run and frees what it holds; a second ends the process at once.
// A terminal interrupts ranks together with their launcher, which ends them all.
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (signal === "SIGINT" && hasLauncher(process.env)) return;
    if (interruption.signal.aborted) process.exit(1);
    interruption.abort(new Error(`stopped by ${signal}`));
  });
}

watchFrontDoor(() => interruption.abort(new Error("stopped, as bun run app was killed")));

try {
  const request = parseArguments(process.argv.slice(2));
  switch (request.command) {
    case "help":
    case "version":
      process.stdout.write(request.text);
      break;
    case "doctor":
      doctor(request.json);
      break;
    case "plan":
      await showPlan(request.configFile, request.flags, request);
      break;
    case "generate": {
      const { configFile, flags } = request;
      const status = await runAsRank(process.env, (ranks) =>
        generateAsRank(configFile, flags, interruption.signal, ranks),
      );
      if (status === undefined) await generate(configFile, flags, interruption.signal);
      else process.exitCode = status;
      break;
    }
  }
} catch (error) {
  process.exitCode = reportFailure(error, process.stderr);
}
