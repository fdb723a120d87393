// The smallest decider for `srt proxy`: allows one host, and hands over its key for every call.
// node decider.mjs PROXY_MAIN PORT HOST UPSTREAM_PORT CA_PEM; the key is in BENCH_KEY.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [main, port, host, upstream, ca] = process.argv.slice(2);
const words = ['--listen', `127.0.0.1:${port}`, '--decider-fd', '3', '--ca-fd', '4'];
const proxy = spawn(process.execPath, [main, ...words], {
  stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'],
});
proxy.on('exit', code => process.exit(code ?? 1));
process.on('SIGTERM', () => proxy.kill());
proxy.stdio[4].end(readFileSync(ca));

const link = proxy.stdio[3];
const say = message => {
  const text = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(text.length);
  link.write(Buffer.concat([head, text]));
};
const places = [host, '127.0.0.1', '[::1]'].map(each => `${each}:${upstream}`);
const answer = message =>
  message.t === 'hello'
    ? say({ t: 'hello', proto: 1, allowedDomains: places, deniedDomains: [] })
    : say({
        t: 'verdict',
        id: message.id,
        action: 'allow',
        cred: 'openai',
        credential: process.env.BENCH_KEY,
      });

let kept = Buffer.alloc(0);
link.on('data', data => {
  kept = Buffer.concat([kept, data]);
  while (kept.length >= 4 && kept.length >= 4 + kept.readUInt32BE(0)) {
    const end = 4 + kept.readUInt32BE(0);
    answer(JSON.parse(kept.subarray(4, end)));
    kept = kept.subarray(end);
  }
});
