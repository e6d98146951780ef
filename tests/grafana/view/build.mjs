import { build } from 'esbuild';
const cjs = p => new URL(`./node_modules/@grafana/${p}.cjs`, import.meta.url).pathname;
const loader = Object.fromEntries(['.woff2', '.woff', '.ttf', '.png', '.gif'].map(kind => [kind, 'dataurl']));
await build({ entryPoints: ['app.jsx'], bundle: true, outfile: 'dist/app.js', format: 'esm', platform: 'browser', target: 'chrome120', jsx: 'automatic',
  alias: { '@grafana/runtime': cjs('runtime/dist/cjs/index'), '@grafana/data': cjs('data/dist/cjs/index'), '@grafana/ui/unstable': cjs('ui/dist/cjs/unstable'), '@grafana/ui': cjs('ui/dist/cjs/index') },
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis', 'process.env': '{}' }, loader: { ...loader, '.svg': 'text', '.css': 'css' }, logLevel: 'error' });
