import { parseArguments } from "./arguments.ts";
import { doctor } from "./doctor.ts";
import { generate } from "./generate/generate.ts";
import { showPlan } from "./plan/show-plan.ts";
import { reportFailure } from "./report-failure.ts";

// The first interrupt cancels the run and frees what it holds; a second ends the process at once.
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (interruption.signal.aborted) process.exit(1);
    interruption.abort(new Error(`stopped by ${signal}`));
  });
}

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
    case "generate":
      await generate(request.configFile, request.flags, interruption.signal);
      break;
  }
} catch (error) {
  process.exitCode = reportFailure(error, process.stderr);
}
