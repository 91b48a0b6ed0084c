// One engine for compare.py: engine.mjs clickhouse|duckdb FOLDER. Reads {"sql": …} a line from stdin, answers {"ms": …, "rows": …} or
// {"error": …} a line; the clock runs from handing over the statement to having its rows.
import { createInterface } from 'node:readline'

async function clickhouse(folder) {
  const { Session } = await import('chdb')
  const session = new Session(`${folder}/clickhouse`)
  return (sql) => {
    const text = session.query(sql, 'JSONCompactEachRow')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  }
}

async function duckdb(folder) {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(`${folder}/duckdb`)
  const connection = await instance.connect()
  return async (sql) => (await connection.runAndReadAll(sql)).getRowsJson()
}

const [engine, folder] = process.argv.slice(2)
const run = await { clickhouse, duckdb }[engine](folder)
for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const { sql } = JSON.parse(line)
    const began = performance.now()
    const rows = await run(sql)
    answer = { ms: performance.now() - began, rows }
  } catch (error) {
    answer = { error: String(error.message ?? error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
