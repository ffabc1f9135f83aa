// Asks Adobe's own library whether a request is genuine. Told as JSON on standard input; the folder of
// the library is the argument. Only where the library would go to the network it gets a stand-in: for
// its cache of keys, and for the host that has them.

const fs = require('node:fs')
const path = require('node:path')
const { createRequire } = require('node:module')

const required = createRequire(path.join(process.argv[2], 'package.json'))
const asked = JSON.parse(fs.readFileSync(0, 'utf8'))

function standIn (name, exports) {
  const id = required.resolve(name)
  require.cache[id] = { id, filename: id, loaded: true, exports }
}

standIn('@adobe/aio-lib-state', { init: async () => ({ get: async () => undefined, put: async () => {} }) })
standIn('node-fetch', async (url) => {
  const index = asked.paths.findIndex((path) => url === 'https://static.adobeioevents.com' + path)
  if (index < 0) throw new Error(`nothing is at ${url}`)
  return { text: async () => asked.keys[index] }
})

async function main () {
  const options = {
    digiSignature1: asked.signatures[0],
    digiSignature2: asked.signatures[1],
    publicKeyPath1: asked.paths[0],
    publicKeyPath2: asked.paths[1]
  }
  const library = path.dirname(required.resolve('@adobe/aio-lib-events'))
  const { exportFunctions: signatures } = require(path.join(library, 'signatureUtils.js'))
  const events = await required('@adobe/aio-lib-events').init('an-organisation', 'a-key', 'a-token')
  console.log(JSON.stringify({
    signature: await signatures.verifyDigitalSignature(options, asked.clientId, asked.body),
    event: await events.verifyDigitalSignatureForEvent(asked.body, asked.clientId, options)
  }))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
