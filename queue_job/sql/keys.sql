-- part: waiting
-- The states of a job that has not begun; a test compares them with states.py.
'wait_dependencies', 'pending', 'enqueued'

-- part: key_lock_class
-- The class of the advisory locks of keys.
1903521635

-- part: key_locks
-- Key locks that one transaction may hold. PostgreSQL keeps the locks of all transactions in
-- one table, whose size is this default of max_locks_per_transaction for each of them. Callers
-- that are refused more keys are written down (see queue_job_key_is_free).
64

-- part: policy_lock_length
-- Hexadecimal digits of a digest that a policy takes the lock of; func_string is compared.
16

-- name: key_functions
-- Functions that keep one waiting job per key; store/keys.py opens with how keys work.
-- One whose signature changes gets a new name: workers of 19.0.3.0.0 go on calling
-- queue_job_key_reserve, which stays in the databases that have it, and all it calls
-- keeps its form.
--
-- The whole range of 32 bits: two of 64 keys that a transaction holds and those of a
-- stranger meet once in 70 million times.
CREATE OR REPLACE FUNCTION queue_job_key_lock(lock_key text) RETURNS integer AS $$
    SELECT hashtext(lock_key)
$$ LANGUAGE sql IMMUTABLE;

-- The transactions among these that are open, NULL if none is. The numbers of a restored
-- database are those of another server, which may lie in the future.
CREATE OR REPLACE FUNCTION queue_job_key_open(callers text) RETURNS text AS $$
    SELECT string_agg(c, ',') FROM unnest(string_to_array(callers, ',')) AS c
    WHERE CASE WHEN c::xid8 < pg_snapshot_xmax(pg_current_snapshot())
        THEN pg_xact_status(c::xid8) = 'in progress' END
$$ LANGUAGE sql VOLATILE;

-- Whether no refused caller of the key is in a transaction; keeps others from taking the key
-- lock until the end of this one. Never waits, and takes no lock of a key that is not free:
-- a session may try thousands. The lock key of a policy is the head of a digest.
CREATE OR REPLACE FUNCTION queue_job_key_is_free(lock_key text) RETURNS boolean AS $$
BEGIN
    IF lock_key IS NULL OR lock_key = '' THEN
        RETURN true;
    END IF;
    PERFORM FROM queue_job_key q
    WHERE q.digest = queue_job_key_digest(lock_key) AND queue_job_key_open(q.callers) <> '';
    IF NOT FOUND THEN
        PERFORM FROM queue_job_key q
        WHERE q.kind = 'policy' AND length(lock_key) = {policy_lock_length}
          AND q.digest >= lock_key AND q.digest < lock_key || 'g'
          AND left(q.digest, {policy_lock_length}) = lock_key
          AND queue_job_key_open(q.callers) <> '';
    END IF;
    RETURN NOT FOUND
        AND pg_try_advisory_xact_lock({key_lock_class}, queue_job_key_lock(lock_key));
END;
$$ LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan;

-- The same for a claim, past its snapshot, by the rows of its keys. A row that changed
-- since raises 40001. A job without a row makes it, as a caller does: one that was refused
-- because of this job has tried to, and its attempt is in the way while its transaction is open.
CREATE OR REPLACE FUNCTION queue_job_key_may_start(holder text) RETURNS boolean AS $$
DECLARE
    reserved record;
    kinds text[] := ARRAY[]::text[];
BEGIN
    FOR reserved IN
        SELECT q.kind, q.callers FROM queue_job_key q WHERE q.job_uuid = holder FOR UPDATE NOWAIT
    LOOP
        IF queue_job_key_open(reserved.callers) <> '' THEN
            RETURN false;
        END IF;
        kinds := kinds || reserved.kind::text;
    END LOOP;
    PERFORM queue_job_key_insert(wanted.kind, wanted.key, holder) FROM (
        SELECT 'identity', identity_key FROM queue_job WHERE uuid = holder AND identity_key <> ''
        UNION ALL
        SELECT 'policy', func_string FROM queue_job
        WHERE uuid = holder AND twin_key <> '' AND func_string <> ''
    ) AS wanted(kind, key) WHERE wanted.kind <> ALL(kinds);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END;
$$ LANGUAGE plpgsql SET lock_timeout = '1ms' SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan;

CREATE OR REPLACE FUNCTION queue_job_key_digest(full_key text) RETURNS text AS $$
    SELECT encode(sha256(convert_to(full_key, 'UTF8')), 'hex')
$$ LANGUAGE sql IMMUTABLE;

-- Whether the key was reserved; 'taken' by a row of this snapshot or by a 'newer' one.
DROP FUNCTION IF EXISTS queue_job_key_insert;
CREATE FUNCTION queue_job_key_insert(
    key_kind text, full_key text, holder text
) RETURNS text AS $$
BEGIN
    INSERT INTO queue_job_key (kind, digest, key, job_uuid, transaction)
    VALUES (key_kind, queue_job_key_digest(full_key), full_key, holder,
            pg_current_xact_id()::text)
    ON CONFLICT DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'reserved' ELSE 'taken' END;
EXCEPTION WHEN serialization_failure THEN
    RETURN 'newer';
END;
$$ LANGUAGE plpgsql;
DROP FUNCTION IF EXISTS queue_job_key_holder;

-- A job that waits without a reservation: an older row, or the second job of
-- a key. The row lock tells the past from the present; FOR SHARE, because a
-- weaker lock does not mind a row whose state has changed. The lock is given back
-- by leaving the block through an exception: a claim is not to wait for it.
CREATE OR REPLACE FUNCTION queue_job_key_unreserved(
    key_kind text, lock_key text, full_key text, blocking text[], asker text
) RETURNS text AS $$
DECLARE
    found text;
BEGIN
    IF key_kind = 'identity' THEN
        SELECT uuid INTO found FROM queue_job
        WHERE identity_key = full_key AND state IN ({waiting}) AND uuid <> asker
        ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED;
    ELSE
        SELECT uuid INTO found FROM queue_job
        WHERE twin_key = lock_key AND func_string = full_key AND state <> 'done'
          AND state = ANY(blocking) AND uuid <> asker
        ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED;
    END IF;
    IF found IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE SQLSTATE 'QJ001';
EXCEPTION
    WHEN SQLSTATE 'QJ001' THEN
        RETURN found;
    WHEN serialization_failure THEN
        RETURN NULL;
END;
$$ LANGUAGE plpgsql;

-- Delete a reservation, if that can be done now.
CREATE OR REPLACE FUNCTION queue_job_key_drop(key_id integer) RETURNS void AS $$
BEGIN
    DELETE FROM queue_job_key WHERE id = key_id;
EXCEPTION WHEN serialization_failure OR lock_not_available THEN
    NULL;
END;
$$ LANGUAGE plpgsql;

-- Whether a job waits for which a key is reserved. A reservation without is no twin: rows
-- were changed past the triggers.
CREATE OR REPLACE FUNCTION queue_job_key_is_kept(
    key_kind text, full_key text, holder text
) RETURNS boolean AS $$
    SELECT EXISTS (
        SELECT FROM queue_job WHERE uuid = holder AND CASE key_kind
            WHEN 'identity' THEN identity_key = full_key AND state IN ({waiting})
            ELSE func_string = full_key AND state = ANY(string_to_array(twin_states, ','))
        END
    )
$$ LANGUAGE sql STABLE;

-- Take the key lock, if one is named, and insert; 'busy' when that is not done until the deadline.
CREATE OR REPLACE FUNCTION queue_job_key_insert_until(
    deadline timestamptz, lock_key text, key_kind text, full_key text, holder text
) RETURNS text AS $$
BEGIN
    PERFORM set_config('lock_timeout', greatest(
        1, extract(epoch FROM deadline - clock_timestamp()) * 1000
    )::integer::text, true);
    IF lock_key IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared({key_lock_class}, queue_job_key_lock(lock_key));
    END IF;
    RETURN queue_job_key_insert(key_kind, full_key, holder);
EXCEPTION WHEN lock_not_available THEN
    RETURN 'busy';
END;
$$ LANGUAGE plpgsql;

-- Reserve a key for each job; the result names those that were refused, why, and their twins:
-- 'refused'; 'newer' for a twin newer than this snapshot; 'crowded' beyond the locks that a
-- transaction may hold: the twin may start. After 'busy', when the wait in milliseconds is
-- over, the rest was not tried. Keys are inserted in a fixed order, so that two callers
-- of many keys do not wait for each other.
CREATE OR REPLACE FUNCTION queue_job_key_request(
    key_kind text, lock_keys text[], full_keys text[], uuids text[], blocking text[],
    wait integer
) RETURNS TABLE (job_uuid text, verdict text, twin text) AS $$
DECLARE
    own text := pg_current_xact_id()::text;
    deadline timestamptz := clock_timestamp() + wait * interval '1 millisecond';
    timeout_before text := current_setting('lock_timeout');
    locks integer;
    asked record;
    found record;
BEGIN
    -- A conflict of any kind is for the second way, which takes one key at a time.
    PERFORM set_config('lock_timeout', '1ms', true);
    BEGIN
        INSERT INTO queue_job_key (kind, digest, key, job_uuid, transaction)
        SELECT key_kind, queue_job_key_digest(k), k, u, own
        FROM unnest(full_keys, uuids) WITH ORDINALITY AS t(k, u, n)
        ORDER BY queue_job_key_digest(k), n
        ON CONFLICT DO NOTHING;
    EXCEPTION WHEN serialization_failure OR lock_not_available THEN
        FOR asked IN
            SELECT k, u FROM unnest(full_keys, uuids) WITH ORDINALITY AS t(k, u, n)
            ORDER BY queue_job_key_digest(k), n
        LOOP
            verdict := queue_job_key_insert_until(deadline, NULL, key_kind, asked.k, asked.u);
            EXIT WHEN verdict = 'busy';
        END LOOP;
    END;
    FOR asked IN
        SELECT l, k, u FROM unnest(lock_keys, full_keys, uuids) WITH ORDINALITY AS t(l, k, u, n)
        ORDER BY n
    LOOP
        job_uuid := asked.u;
        EXIT WHEN verdict = 'busy';
        -- A row that was given up after the snapshot can still be seen beside our own.
        SELECT q.id, q.job_uuid, q.transaction INTO found FROM queue_job_key q
        WHERE q.digest = queue_job_key_digest(asked.k) AND q.kind = key_kind
        ORDER BY q.transaction = own DESC LIMIT 1;
        IF found.job_uuid = asked.u THEN
            CONTINUE WHEN queue_job_key_unreserved(
                key_kind, asked.l, asked.k, blocking, asked.u
            ) IS NULL;
        -- A job of this transaction may not be stored yet.
        ELSIF NOT queue_job_key_is_kept(key_kind, asked.k, found.job_uuid) AND (
            found.transaction IS DISTINCT FROM own
            OR EXISTS (SELECT FROM queue_job WHERE uuid = found.job_uuid)
        ) THEN
            PERFORM queue_job_key_drop(found.id);
        ELSIF found.transaction = own THEN
            verdict := 'refused';
            twin := found.job_uuid;
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- There seems to be a twin. It may be starting: wait for that, then try again.
        locks := coalesce(nullif(current_setting('queue_job.key_locks', true), '')::integer, 0);
        verdict := queue_job_key_insert_until(
            deadline, CASE WHEN locks < {key_locks} THEN asked.l END, key_kind, asked.k, asked.u
        );
        EXIT WHEN verdict = 'busy';
        -- As the lock, it is given back with a savepoint.
        PERFORM set_config('queue_job.key_locks', (locks + 1)::text, true);
        twin := NULL;
        IF verdict <> 'newer' THEN
            SELECT q.job_uuid INTO twin FROM queue_job_key q
            WHERE q.digest = queue_job_key_digest(asked.k) AND q.kind = key_kind
            ORDER BY q.transaction = own DESC LIMIT 1;
        END IF;
        IF twin = asked.u THEN
            twin := queue_job_key_unreserved(key_kind, asked.l, asked.k, blocking, asked.u);
            CONTINUE WHEN twin IS NULL;
            DELETE FROM queue_job_key q WHERE q.kind = key_kind AND q.job_uuid = asked.u;
            verdict := 'refused';
        ELSIF locks >= {key_locks} THEN
            verdict := 'crowded';
        ELSIF twin IS NULL OR NOT queue_job_key_is_kept(key_kind, asked.k, twin) THEN
            verdict := 'newer';
        ELSE
            verdict := 'refused';
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('lock_timeout', timeout_before, true);
    IF verdict = 'busy' THEN
        RETURN NEXT;
    END IF;
END;
$$ LANGUAGE plpgsql;

-- Take a key for a job that came back to a blocking state, if it is free. The
-- session that moves the job must not wait for a transaction that is making another one.
DROP FUNCTION IF EXISTS queue_job_key_take(text, text, text, text);
CREATE OR REPLACE FUNCTION queue_job_key_take(
    key_kind text, full_key text, holder text
) RETURNS void AS $$
BEGIN
    PERFORM queue_job_key_insert(key_kind, full_key, holder);
EXCEPTION WHEN lock_not_available THEN
    NULL;
END;
$$ LANGUAGE plpgsql SET lock_timeout = '1ms';

CREATE OR REPLACE FUNCTION queue_job_key_keep(
    key_kind text, full_key text, holder text, is_blocking boolean
) RETURNS void AS $$
BEGIN
    IF NOT is_blocking THEN
        DELETE FROM queue_job_key WHERE job_uuid = holder AND kind = key_kind;
    ELSIF NOT EXISTS (SELECT FROM queue_job_key WHERE job_uuid = holder AND kind = key_kind) THEN
        PERFORM queue_job_key_take(key_kind, full_key, holder);
    END IF;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION queue_job_keep_keys() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM queue_job_key WHERE job_uuid = OLD.uuid;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' AND OLD.identity_key IS DISTINCT FROM NEW.identity_key THEN
        DELETE FROM queue_job_key WHERE job_uuid = OLD.uuid AND kind = 'identity';
    END IF;
    IF NEW.identity_key <> '' THEN
        PERFORM queue_job_key_keep(
            'identity', NEW.identity_key, NEW.uuid, NEW.state IN ({waiting})
        );
    END IF;
    IF NEW.twin_key <> '' THEN
        PERFORM queue_job_key_keep(
            'policy', NEW.func_string, NEW.uuid,
            coalesce(NEW.state = ANY(string_to_array(NEW.twin_states, ',')), false)
        );
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

-- No row trigger sees an emptied table: keys that are left would refuse for ever.
CREATE OR REPLACE FUNCTION queue_job_forget_keys() RETURNS trigger AS $$
BEGIN
    DELETE FROM queue_job_key;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

-- name: ask_for_keys
-- Reserve a key for each job; see the function.
SELECT job_uuid, verdict, twin FROM queue_job_key_request(
    %(kind)s, %(lock_keys)s::text[], %(keys)s::text[], %(uuids)s::text[], %(blocking)s::text[],
    %(wait)s
)

-- name: transaction_number
-- The number of this transaction, which refused callers are known by.
SELECT pg_current_xact_id()::text

-- name: limit_wait_for_keys
-- For a transaction that only names a refused caller: a crash ends that caller, too.
SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = %(wait)s

-- name: name_refused_caller
-- Write a refused caller to the reservations of keys whose jobs wait.
WITH held AS MATERIALIZED (
    SELECT id FROM queue_job_key WHERE kind = %(kind)s AND digest IN (
        SELECT queue_job_key_digest(k) FROM unnest(%(keys)s::text[]) AS k
    ) AND queue_job_key_is_kept(kind, key, job_uuid)
    ORDER BY id FOR UPDATE
)
UPDATE queue_job_key q
SET callers = concat_ws(',', queue_job_key_open(array_to_string(
    array_remove(string_to_array(q.callers, ','), %(caller)s), ','
)), %(caller)s)
FROM held WHERE held.id = q.id RETURNING q.key, q.job_uuid

-- name: holder_of_key
-- The job for which a key is reserved.
SELECT job_uuid FROM queue_job_key
WHERE digest = queue_job_key_digest(%(key)s) AND kind = %(kind)s

-- part: unkept_key
-- A reservation whose job does not wait.
NOT queue_job_key_is_kept(kind, key, job_uuid)

-- part: unkept_same_key
-- A reservation of one key whose job does not wait.
digest = queue_job_key_digest(%(key)s) AND {unkept_key}

-- part: drop_keys
-- Delete reservations that are not locked.
DELETE FROM queue_job_key WHERE id IN (
    SELECT id FROM queue_job_key WHERE {condition} FOR UPDATE SKIP LOCKED
)

-- name: sweep_keys
-- Delete the reservations of jobs that do not wait.
{drop_keys condition=unkept_key}

-- name: sweep_key
-- The same for one key.
{drop_keys condition=unkept_same_key}

-- name: give_up_keys
-- Delete the reservations of jobs that are not stored.
DELETE FROM queue_job_key WHERE job_uuid = ANY(%(uuids)s)

-- name: does_key_sequence_end
-- A row if the ids of reservations end one day.
SELECT FROM pg_sequence WHERE seqrelid = 'queue_job_key_id_seq'::regclass AND NOT seqcycle

-- name: cycle_key_sequence
-- Begin with small ids again: a refused key uses one up, and few rows exist at a time.
ALTER SEQUENCE queue_job_key_id_seq CYCLE
