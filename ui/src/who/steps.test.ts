import { expect, test } from "vitest";
import type { Candidate, Hop } from "../api/types";
import { stepsOf } from "./steps";

const hop = (kind: Hop["kind"], title: string, records: number[] = []): Hop => ({ class: "proven", kind, title, text: `text of ${title}`, method: "", records });
const candidate = (hops: Hop[], more: Partial<Candidate> = {}) =>
  ({ relation: "owned", internal: "10.8.3.17:51420", external: "203.0.113.5:41234", process: null, hops, ...more }) as Candidate;

test("places are joined by the records between them, and ancestors stand with their process, outermost first", () => {
  const steps = stepsOf(
    candidate(
      [
        hop("endpoint", "203.0.113.5:41234"), hop("lease", "lease", [9]), hop("endpoint", "10.8.3.17:51420"), hop("socket", "socket", [12]),
        hop("process", "python3 7273", [77]), hop("ancestor", "bash 7190", [76]), hop("ancestor", "sshd 7121", [75]),
      ],
      { process: { login_user: "alice", audit_session: 318 } as never },
    ),
  );
  expect(steps.map((step) => step.kind)).toEqual(["external", "internal", "process", "person"]);
  expect(steps.map((step) => step.edge?.records ?? null)).toEqual([null, [9], [12], []]);
  expect(steps[2]!.ancestors).toEqual([{ title: "sshd 7121", record: 75 }, { title: "bash 7190", record: 76 }]);
  expect(steps[3]).toMatchObject({ title: "alice", text: "logged in, session 318" });
});

test("a remote end is seen by the process, and no person is named for it", () => {
  const steps = stepsOf(
    candidate([hop("endpoint", "198.51.100.9:443"), hop("endpoint", "10.8.3.17:51420"), hop("socket", "socket", [12]), hop("process", "nginx 1", [3])], {
      relation: "seen_by",
      process: { login_user: "alice", audit_session: null } as never,
    }),
  );
  expect(steps.map((step) => step.kind)).toEqual(["endpoint", "internal", "process"]);
  expect(steps[1]!.edge!.text).toBe("the two ends of one connection");
});
