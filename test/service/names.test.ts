import t from 'tap'
import { matchDevice } from '../../service/devices.ts'
import { defaultLimits } from '../../service/limits.ts'
import {
  checkContainerName,
  checkLabel,
  checkModelName,
  checkVariableName,
  isVariableName,
} from '../../service/names.ts'
import { refused } from '../helper/refused.ts'

t.test('a variable is named as a TensorFlow operation may be', async (t) => {
  for (const name of [
    'w',
    'a/b',
    '.hidden',
    '0',
    'A-b_c.d/e>f',
    'layer/.ATTRIBUTES/VARIABLE_VALUE',
  ]) {
    t.ok(isVariableName(name, defaultLimits), name)
  }
  for (const name of [
    '',
    '_w',
    '-w',
    '/w',
    '>w',
    'a:b',
    'a b',
    'ä',
    'a\0',
    '__proto__',
    'a,b',
    '\u202ea',
  ]) {
    t.throws(
      () => checkVariableName(name, defaultLimits),
      refused({ reason: 'name/invalid' }),
      name,
    )
  }
  t.ok(isVariableName('n'.repeat(1024), defaultLimits))
  t.notOk(isVariableName('n'.repeat(1025), defaultLimits))
})

t.test('containers, models and labels have rules of their own', async (t) => {
  checkContainerName('', defaultLimits)
  checkContainerName('models/m/1', defaultLimits)
  checkModelName('half_plus_two', defaultLimits)
  checkLabel('runs/best-1', defaultLimits)
  t.throws(() => checkContainerName('a\0b', defaultLimits), refused({ reason: 'name/invalid' }))
  t.throws(() => checkModelName('a/b', defaultLimits), refused({ reason: 'name/invalid' }))
  t.throws(() => checkModelName('..', defaultLimits), refused({ reason: 'name/invalid' }))
  t.throws(() => checkLabel('12', defaultLimits), { message: /numbers are checkpoint ids/ })
  t.throws(() => checkLabel('latest', defaultLimits), refused({ reason: 'name/invalid' }))
})

t.test('a device string means the first device that fits it', async (t) => {
  const devices = ['/device:GPU:0', '/device:GPU:1', '/device:CPU:0']
  t.equal(matchDevice('/gpu:1', devices), '/device:GPU:1')
  t.equal(matchDevice('/job:worker/gpu:*', devices), '/device:GPU:0')
  t.equal(matchDevice('/cpu:0', devices), '/device:CPU:0')
  t.equal(matchDevice('', devices), undefined)
  t.equal(matchDevice('/gpu:7', devices), undefined)
})
